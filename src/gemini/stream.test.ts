import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isGeminiError } from './errors';
import { createElementScanner } from './stream';

const maxElementBytes = 1024 * 1024;

/** Elements and verdict when the body arrives in these pieces. */
function scan(pieces: Uint8Array[], limit = maxElementBytes) {
  const scanner = createElementScanner({ maxElementBytes: limit });
  const elements: unknown[] = [];
  for (const piece of pieces) scanner.push(piece, elements);
  return { elements, end: scanner.end() };
}

function scanText(text: string, limit?: number) {
  return scan([Buffer.from(text)], limit);
}

function cutAt(bytes: Buffer, positions: number[]): Buffer[] {
  const sorted = [0, ...positions.toSorted((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

function failureOf(run: () => unknown): { fault: string; reason: string | null } {
  try {
    run();
  } catch (error) {
    if (isGeminiError(error)) return { fault: error.fault, reason: error.reason };
    throw error;
  }
  throw new Error('it did not throw');
}

const sample = [
  { text: '你好，世界 👩‍👩‍👧 "quoted" \\ back\nslash } { ] [', nested: { list: [[1], { a: {} }] } },
  { text: '\\\\"\\', 'key "with" }': '\u0000\u2028é' },
  {},
];
const pretty = `[${sample.map((element) => JSON.stringify(element, null, 2)).join('\n,\n')}\n]`;

describe('framing', () => {
  test('finds the same elements wherever the body is cut in two, and byte by byte', () => {
    const bytes = Buffer.from(pretty);
    for (let at = 0; at <= bytes.length; at++) {
      expect(scan(cutAt(bytes, [at]))).toEqual({ elements: sample, end: 'complete' });
    }
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(scan(single)).toEqual({ elements: sample, end: 'complete' });
  });

  test('gives an element in the very chunk that closes its brace', () => {
    const scanner = createElementScanner({ maxElementBytes });
    expect(scanner.push(Buffer.from('[{"a":1'))).toEqual([]);
    expect(scanner.push(Buffer.from('}'))).toEqual([{ a: 1 }]);
    expect(scanner.push(Buffer.from(',{"b":2},{"c":'))).toEqual([{ b: 2 }]);
  });

  test.each([
    ['an empty array', ' [ \n ] \n', []],
    ['one bare object', '{"a":1}', [{ a: 1 }]],
    ['objects with blanks between', '{"a":1}\n{"b":2} {"c":3}\r\n', [{ a: 1 }, { b: 2 }, { c: 3 }]],
  ])('takes %s as complete', (_name, text, elements) => {
    expect(scanText(text)).toEqual({ elements, end: 'complete' });
  });

  test.each([
    ['nothing', ''],
    ['blanks', ' \n'],
    ['an open array', '[{"a":1}'],
    ['an array after a comma', '[{"a":1},'],
    ['an open element', '[{"a":1},{"b":"'],
    ['an open bare object', '{"a":{}'],
  ])('takes %s as truncated', (_name, text) => {
    expect(scanText(text).end).toBe('truncated');
  });
});

describe('faults', () => {
  test.each([
    ['a page', '<html>'],
    ['an event stream', 'data: {"a":1}\n\n'],
    ['a number as element', '[1]'],
    ['an array as element', '[[{}]]'],
    ['a missing comma', '[{}{}]'],
    ['a double comma', '[{},,{}]'],
    ['a comma before the end', '[{},]'],
    ['a comma between bare objects', '{},{}'],
    ['more after the end', '[{}] {}'],
    ['a wrong bracket', '[{"a":]}]'],
    ['a bare word in an element', '[{"a":hello}]'],
    ['a raw newline in a string', '[{"a":"x\ny"}]'],
  ])('refuses %s as malformed', (_name, text) => {
    expect(failureOf(() => scanText(text))).toEqual({ fault: 'upstream', reason: 'malformed' });
  });

  test('keeps the elements that stood before the fault', () => {
    const elements: unknown[] = [];
    const scanner = createElementScanner({ maxElementBytes });
    expect(() => scanner.push(Buffer.from('[{"a":1},x'), elements)).toThrow();
    expect(elements).toEqual([{ a: 1 }]);
  });

  test('limits the size of one element, in one chunk and over many, not of the body', () => {
    const element = `{"a":"${'x'.repeat(92)}"}`;
    expect(scanText(`[${element},${element}]`, 100).elements).toHaveLength(2);
    const tooLarge = { fault: 'upstream', reason: 'element_too_large' };
    expect(failureOf(() => scanText(`[${element}]`, 99))).toEqual(tooLarge);
    const open = Array.from({ length: 100 }, () => Buffer.from('{"a":'));
    expect(failureOf(() => scan(open, 99))).toEqual(tooLarge);
  });
});

describe('properties', () => {
  const objects = fc.array(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), {
    maxLength: 6,
  });
  const cuts = fc.array(fc.nat({ max: 2000 }), { maxLength: 12 });

  test('any array of objects survives any cuts', () => {
    fc.assert(
      fc.property(objects, cuts, fc.boolean(), (elements, positions, isPretty) => {
        const text = JSON.stringify(elements, null, isPretty ? 2 : 0);
        const bytes = Buffer.from(text);
        const pieces = cutAt(
          bytes,
          positions.map((position) => position % (bytes.length + 1)),
        );
        expect(scan(pieces)).toEqual({ elements: JSON.parse(text), end: 'complete' });
      }),
    );
  });

  test('garbage throws nothing but GeminiError', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.constantFrom(...'[]{}",:\\ \n1a'), { maxLength: 60 }).map((characters) => {
        return new Uint8Array(Buffer.from(characters.join('')));
      }),
    );
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), (pieces) => {
        try {
          scan(pieces, 100);
        } catch (error) {
          expect(isGeminiError(error)).toBe(true);
        }
      }),
    );
  });
});
