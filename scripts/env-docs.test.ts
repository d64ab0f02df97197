import { expect, test } from 'vitest';
import { currentText, upToDateDocuments } from './env-docs';

test.each(upToDateDocuments())('$file follows the code (else: npm run docs)', ({ file, text }) => {
  expect(currentText(file)).toBe(text);
});
