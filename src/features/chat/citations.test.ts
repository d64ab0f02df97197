import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CitedText, createCitedText } from '@/features/chat/citations';
import type { CitedSegment } from '@/gemini/citations';

const WHOLE = Number.POSITIVE_INFINITY;
const source = { url: 'https://example.com/', title: 'Example' };
const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** The segment of `words`, which stand at `at` of `text`. */
function segmentOf(text: string, words: string, { at = text.indexOf(words), bare = false } = {}) {
  const startByte = bytesOf(text.slice(0, at));
  const endByte = startByte + bytesOf(words);
  const segment: CitedSegment = {
    startByte,
    endByte,
    text: bare ? null : words,
    sources: [source],
  };
  return segment;
}

function cite(segments: CitedSegment[], replyText = '') {
  return { type: 'citations' as const, replyText, segments, sources: [source] };
}

function cited(...pieces: string[]) {
  const text = createCitedText();
  for (const piece of pieces) text.said(piece);
  return text;
}

/** The parts that are cited, as a program that counts characters cuts them out of the reply. */
function partsOf(text: CitedText, reply: string): string[] {
  return text
    .citations(reply.length)
    .map(({ startIndex, endIndex }) => Array.from(reply).slice(startIndex, endIndex).join(''));
}

const said = 'Zürich 🏔 ist schön. 北京是首都。 The end.';

describe('the places of citations', () => {
  it.each([true, false])('count from the beginning of the answer (bare: %s)', (bare) => {
    const text = cited(said);
    text.cite(cite(['🏔 ist', '北京', 'end.'].map((words) => segmentOf(said, words, { bare }))));
    expect(partsOf(text, said)).toEqual(['🏔 ist', '北京', 'end.']);
  });

  it.each([true, false])('or of their reply (bare: %s)', (bare) => {
    const reply = '北京是首都。';
    const text = cited('Zürich 🏔. ', reply);
    text.cite(cite([segmentOf(reply, '首都', { bare })], reply));
    expect(partsOf(text, `Zürich 🏔. ${reply}`)).toEqual(['首都']);
  });

  it('are those of the words, wherever the numbers point to', () => {
    const text = cited(said);
    text.cite(cite([{ ...segmentOf(said, '北京'), startByte: 1, endByte: 4 }]));
    text.cite(cite([{ ...segmentOf(said, 'end'), startByte: 4_000, endByte: 5_000 }]));
    expect(partsOf(text, said)).toEqual(['北京', 'end']);
  });

  it('are left out where they are not in the text', () => {
    const text = cited('Short.');
    text.cite(cite([{ startByte: 2, endByte: 60, text: 'elsewhere', sources: [source] }]));
    text.cite(cite([{ startByte: 2, endByte: 60, text: null, sources: [source] }]));
    expect(text.citations(WHOLE)).toEqual([]);
  });

  it('are those of the reply that went out: of what was cut off there is none', () => {
    const text = createCitedText();
    text.said('One. Two. Three.');
    text.cite(cite(['One.', 'Two.'].map((words) => segmentOf('One. Two. Three.', words))));
    expect(partsOf(text, 'One. T')).toEqual(['One.']);
  });

  it('are the whole reply where the upstream names pages alone', () => {
    const text = cited('🏔 yes');
    text.cite(cite([]));
    expect(text.citations(WHOLE)).toEqual([{ ...source, startIndex: 0, endIndex: 5 }]);
  });

  it('come once each, in their order', () => {
    const text = cited(said);
    const segments = ['北京', 'Zürich'].map((words) => segmentOf(said, words));
    text.cite(cite(segments));
    text.cite(cite(segments));
    expect(partsOf(text, said)).toEqual(['Zürich', '北京']);
  });

  it('stay in bounds, and below what one event takes', () => {
    const words = 'x '.repeat(5_000);
    const text = cited(words);
    const url = `https://example.com/${'p'.repeat(2_000)}`;
    const title = '京'.repeat(300);
    for (let count = 0; count < 1_000; count++) {
      const place = { startByte: count, endByte: count + 1, text: null };
      text.cite(cite([{ ...place, sources: [{ url, title }] }]));
    }
    const json = JSON.stringify(text.citations(WHOLE));
    expect(text.citations(WHOLE).length).toBeGreaterThan(10);
    expect(bytesOf(json)).toBeLessThan(48_000);
  });

  it('are quickly found in a long reply', () => {
    const long = '北京 yes 🏔. '.repeat(50_000);
    const text = cited(long);
    const total = bytesOf(long);
    for (let count = 0; count < 200; count++) {
      text.cite(
        cite([{ startByte: total - 40, endByte: total - 1, text: 'not there', sources: [source] }]),
      );
    }
    const startedAt = performance.now();
    expect(text.citations(WHOLE).length).toBe(1);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  it('are right for any text, however it came', () => {
    const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 });
    const part = fc.record({ text: word, isCited: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 12 }),
        fc.boolean(),
        (parts, ofReply) => {
          const text = createCitedText();
          let upstream = '';
          const expected: string[] = [];
          const later: CitedSegment[] = [];
          for (const { text: words, isCited } of parts) {
            text.said(words);
            const at = ofReply ? 0 : upstream.length;
            const segment = segmentOf(ofReply ? words : upstream + words, words, {
              at,
              bare: true,
            });
            if (isCited && ofReply) text.cite(cite([segment], words));
            if (isCited && !ofReply) later.push(segment);
            if (isCited) expected.push(words);
            upstream += words;
          }
          text.cite(cite(later));
          if (expected.length > 0) expect(partsOf(text, upstream)).toEqual(expected);
        },
      ),
    );
  });
});
