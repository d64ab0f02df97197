import fc from 'fast-check';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import {
  countTokens,
  createTokenCounter,
  createTokenLimit,
  EXACT_BUDGET_BYTES,
} from '@/features/chat/tokens';

const ordinary = { disallowedSpecial: new Set<string>() };

/** The tokenizer itself, in one piece: for short texts only. */
const exactly = (text: string) => encode(text, ordinary).length;

const prose =
  "The quick brown fox doesn't jump over 12,345 lazy dogs; it's asleep.\n\n  Next line: " +
  'function add(a, b) {\n\treturn a + b; // sum\n}\n' +
  '人工智能是计算机科学的一个分支，它试图了解智能的实质。Привет, мир! 👩‍👩‍👧 naïve café\r\n';

/** Texts that lie across every kind of border: words, blanks, numbers, scripts, pairs. */
const fragment = fc.constantFrom(
  ...["don't", "'", "'re", ' ', '  ', '\n', '\r\n', '\t', '/', '.', ',', '!!', '123', '4'],
  ...[
    'Hello',
    'HELLO',
    'wörld',
    'a',
    '的',
    '人工',
    '，',
    '。',
    '😀',
    'é',
    '\u0301',
    '<|endoftext|>',
  ],
  ...['\u00a0', '\ufeff', '\u2028', 'ひらがな', '한국어', '𝒳', '٣', "o'", '_', 'x1'],
);
const shortText = fc.array(fragment, { maxLength: 60 }).map((parts) => parts.join(''));
const longText = fc
  .array(fc.oneof(fragment, fc.string({ unit: 'grapheme', maxLength: 400 })), { maxLength: 40 })
  .map((parts) => parts.join('').toWellFormed());

/** The same text cut anywhere but inside a character. */
function cutting(text: string, cuts: readonly number[]): string[] {
  const characters = Array.from(text);
  const places = cuts.map((cut) => cut % (characters.length + 1)).sort((a, b) => a - b);
  return [0, ...places].map((start, index) =>
    characters.slice(start, places[index] ?? characters.length).join(''),
  );
}
const cuts = fc.array(fc.nat({ max: 20_000 }), { maxLength: 30 });

/** What comes behind it is estimated: it spends the budget, and ends a piece. */
const exactPart = 'a b '.repeat(EXACT_BUDGET_BYTES / 4 + 64);
/** Of a text behind `exactPart`. */
const estimated = (text: string) => countTokens(exactPart + text) - countTokens(exactPart);
/** What a text begins with, so that the budget lies beyond it, inside of it or before it. */
const beginnings: [where: string, beginning: string][] = [
  ['exact', ''],
  ['across the budget', exactPart.slice(0, EXACT_BUDGET_BYTES - 500)],
  ['estimated', exactPart],
];

describe('countTokens', () => {
  test.each([
    ['', 0],
    ['Hello', 1],
    ['Hello world', 2],
    ['<|endoftext|>', exactly('<|endoftext|>')],
  ])('%j has %d', (text, expected) => {
    expect(countTokens(text)).toBe(expected);
  });

  test('text like a special token is text', () => {
    expect(countTokens('<|endoftext|>')).toBeGreaterThan(1);
    expect(countTokens('a <|im_start|> b <|fim_prefix|>'.repeat(20))).toBeGreaterThan(100);
  });

  test('is exact on ordinary text, though counted in pieces', () => {
    const text = prose.repeat(8);
    expect(countTokens(text)).toBe(exactly(text));
  });

  test('no word end lies inside a token', () => {
    // Longer than a piece, so that the cut is at a word end; no run of 256 without one.
    const text = fc
      .array(fragment, { minLength: 200, maxLength: 260 })
      .map((parts) => parts.join(' '));
    fc.assert(
      fc.property(text, (long) => {
        expect(countTokens(long)).toBe(exactly(long));
      }),
      { numRuns: 50 },
    );
  });

  test('grows with the text', () => {
    const counts = Array.from({ length: 60 }, (_, index) => countTokens(prose.repeat(index)));
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(new Set(counts).size).toBe(counts.length);
  });

  test('beyond the budget: 4 Latin characters or 1.5 Han ones are a token', () => {
    expect(estimated('abcd'.repeat(1000))).toBe(1000);
    expect(estimated('的一是'.repeat(1000))).toBe(2000);
  });

  test('runs without a break do not stop the server', () => {
    const han = Array.from({ length: 20_000 }, (_, index) =>
      String.fromCharCode(0x4e00 + ((index * 7919) % 20_000)),
    ).join('');
    expect(countTokens('a'.repeat(200_000))).toBeGreaterThan(40_000);
    expect(countTokens(han)).toBeGreaterThan(10_000);
    expect(countTokens(' '.repeat(200_000))).toBeGreaterThan(40_000);
    expect(countTokens('😀'.repeat(50_000))).toBeGreaterThan(40_000);
    expect(countTokens('\ud800'.repeat(10_000))).toBeGreaterThan(1000);
  });
});

describe('createTokenCounter', () => {
  test.each(beginnings)('the count depends on the text alone: %s', (_, beginning) => {
    fc.assert(
      fc.property(longText, cuts, fc.boolean(), (text, places, asksBetween) => {
        const counter = createTokenCounter();
        counter.push(beginning);
        for (const piece of cutting(text, places)) {
          counter.push(piece);
          if (asksBetween) counter.total();
        }
        const all = countTokens(beginning + text);
        expect(counter.total()).toBe(all);
        expect(counter.total()).toBe(all);
      }),
    );
  });
});

describe('createTokenLimit', () => {
  function limited(pieces: readonly string[], maxTokens: number) {
    const limit = createTokenLimit(maxTokens);
    const out = pieces.map((piece) => limit.push(piece));
    out.push(limit.finish());
    return { text: out.join(''), out, reached: limit.reached(), total: limit.total() };
  }

  test('cuts after the last token that is within', () => {
    expect(limited(['Hello world again'], 2)).toMatchObject({
      text: 'Hello world',
      reached: true,
      total: 2,
    });
    expect(limited(['Hello world again'], 3)).toMatchObject({
      text: 'Hello world again',
      reached: false,
      total: 3,
    });
  });

  test('a token may end inside a word, but no piece inside a character', () => {
    const word = 'antidisestablishmentarianism';
    for (let maxTokens = 1; maxTokens < exactly(word); maxTokens += 1) {
      const { text } = limited([word], maxTokens);
      expect(word.startsWith(text)).toBe(true);
      expect(exactly(text)).toBe(maxTokens);
    }
    const rare = '𓀀𓀁𓀂';
    for (let maxTokens = 1; maxTokens < exactly(rare); maxTokens += 1) {
      const { text } = limited([rare], maxTokens);
      expect(text.isWellFormed()).toBe(true);
      expect(rare.startsWith(text)).toBe(true);
    }
  });

  test('far from the limit nothing is held back', () => {
    const limit = createTokenLimit(4096);
    for (const character of prose) expect(limit.push(character)).toBe(character);
  });

  test('near the limit no more than a word is held back', () => {
    const limit = createTokenLimit(20);
    let given = '';
    let pushed = '';
    for (const word of 'one two three four five six seven eight nine ten'.split(/(?= )/)) {
      given += limit.push(word);
      pushed += word;
      expect(pushed.length - given.length).toBeLessThanOrEqual(word.length);
    }
  });

  test('the end is known as soon as a token begins beyond it', () => {
    const limit = createTokenLimit(2);
    expect(limit.push('Hello world')).toBe('Hello');
    expect(limit.push(' ag')).toBe(' world');
    expect(limit.reached()).toBe(true);
    expect(limit.push('ain')).toBe('');
    expect(limit.finish()).toBe('');
  });

  test.each(beginnings)('however the text is cut, the same comes out: %s', (_, beginning) => {
    const known = countTokens(beginning);
    fc.assert(
      fc.property(
        fc.oneof(shortText, longText),
        cuts,
        fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 2000 })),
        (end, places, maxTokensOfEnd) => {
          const text = beginning + end;
          const maxTokens = known + maxTokensOfEnd;
          const whole = limited([text], maxTokens);
          const streamed = limited([beginning, ...cutting(end, places)], maxTokens);
          expect({ ...streamed, out: [] }).toEqual({ ...whole, out: [] });
          for (const piece of streamed.out) expect(piece.isWellFormed()).toBe(true);
          expect(text.startsWith(whole.text)).toBe(true);
          const all = countTokens(text);
          expect(whole.reached).toBe(all > maxTokens);
          expect(whole.total).toBe(Math.min(all, maxTokens));
          if (!whole.reached) expect(whole.text).toBe(text);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('one character at a time is as good as all at once', () => {
    fc.assert(
      fc.property(shortText, fc.integer({ min: 1, max: 60 }), (text, maxTokens) => {
        expect(limited(Array.from(text), maxTokens).text).toBe(limited([text], maxTokens).text);
      }),
      { numRuns: 300 },
    );
  });
});
