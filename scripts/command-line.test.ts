import { expect, it } from 'vitest';
import { printable } from './command-line.ts';

it('prints what somebody named on one line, and no order to the terminal', () => {
  expect(printable('one\r\n\r\ntwo\tthree')).toBe('one two three');
  expect(printable('ok    aligned')).toBe('ok    aligned');
  expect(printable('a\u001b[2Jb\u200b')).toBe('a?[2Jb?');
});
