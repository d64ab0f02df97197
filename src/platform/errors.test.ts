import { expect, it } from 'vitest';
import { excerpt } from '@/platform/errors';

it.each([
  ['short', 10, 'short'],
  ['much too long', 4, 'much…'],
  ['face \u{1f600}', 6, 'face \ufffd…'],
  ['\ud83d', 10, '\ufffd'],
])('an excerpt of %j in %i characters', (value, maxCharacters, expected) => {
  expect(excerpt(value, maxCharacters)).toBe(expected);
});
