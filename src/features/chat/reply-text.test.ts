import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createReplyText, type ReplyLimits } from '@/features/chat/reply-text';
import { countTokens } from '@/features/chat/tokens';

const none: ReplyLimits = { stop: [], maxTokens: null };

function run(pieces: readonly string[], limits: Partial<ReplyLimits>) {
  const reply = createReplyText({ ...none, ...limits });
  const out = pieces.map((piece) => reply.push(piece));
  out.push(reply.finish());
  const { finishReason, tokens } = reply;
  return { out, text: out.join(''), finishReason, tokens };
}

/** The text by the letter: cut before the earliest occurrence. */
function cutByLetter(text: string, stop: readonly string[]): string {
  const places = stop.map((sequence) => text.indexOf(sequence)).filter((place) => place >= 0);
  return places.length === 0 ? text : text.slice(0, Math.min(...places));
}

describe('without limits', () => {
  test('pieces pass untouched', () => {
    expect(run(['Hel', '', 'lo ', '\n'], none)).toEqual({
      out: ['Hel', '', 'lo ', '\n', ''],
      text: 'Hello \n',
      finishReason: null,
      tokens: countTokens('Hello \n'),
    });
  });

  test('half a character waits for the other half', () => {
    expect(run(['a\ud83d', '\ude00b'], none).out).toEqual(['a', '😀b', '']);
    expect(run(['\ud83d', '', '\ude00'], none).out).toEqual(['', '', '😀', '']);
  });

  test('half a character that stays alone is dropped', () => {
    expect(run(['a\ud83d', 'b'], none).out).toEqual(['a', 'b', '']);
    expect(run(['a\ude00b'], none).out).toEqual(['ab', '']);
    expect(run(['a\ud83d'], none)).toMatchObject({ text: 'a', tokens: 1 });
    expect(run(['\ud83d', '\ud83d', '\ude00'], none).text).toBe('😀');
  });
});

describe('stop sequences', () => {
  test('the reply ends before the first', () => {
    expect(run(['one STOP two'], { stop: ['STOP'] })).toMatchObject({
      text: 'one ',
      finishReason: 'stop',
      tokens: countTokens('one '),
    });
  });

  test('across pieces; only what may be one is held back', () => {
    expect(run(['one S', 'T', 'OP two'], { stop: ['STOP'] }).out).toEqual(['one ', '', '', '']);
    expect(run(['one S', 'T', 'AY two'], { stop: ['STOP'] }).out).toEqual([
      'one ',
      '',
      'STAY two',
      '',
    ]);
  });

  test('what was held back is given out at the end', () => {
    expect(run(['one STO'], { stop: ['STOP'] })).toMatchObject({
      out: ['one ', 'STO'],
      finishReason: null,
    });
  });

  test('the reason is there as soon as it is certain, and nothing comes after', () => {
    const reply = createReplyText({ stop: ['\n\n'], maxTokens: null });
    expect(reply.push('a\n')).toBe('a');
    expect(reply.finishReason).toBeNull();
    expect(reply.push('\nb')).toBe('');
    expect(reply.finishReason).toBe('stop');
    expect(reply.push('c')).toBe('');
    expect(reply.finish()).toBe('');
    expect(reply.tokens).toBe(1);
  });

  test('the earliest wins, whichever is listed first or completed first', () => {
    expect(run(['a one b two'], { stop: ['two', 'one'] }).text).toBe('a ');
    expect(run(['xabcdx'], { stop: ['bc', 'abcd'] }).text).toBe('x');
    expect(run(['x', 'a', 'b', 'c', 'd', 'x'], { stop: ['bc', 'abcd'] }).text).toBe('x');
    expect(run(['x', 'a', 'b', 'c', 'e'], { stop: ['bc', 'abcd'] }).text).toBe('xa');
    expect(run(['xabc'], { stop: ['bc', 'abcd'] })).toMatchObject({
      text: 'xa',
      finishReason: 'stop',
    });
  });

  test('sequences that repeat themselves', () => {
    expect(run(['aaaab'], { stop: ['aab'] }).text).toBe('aa');
    expect(run(['abab', 'abc'], { stop: ['ababc'] }).text).toBe('ab');
    const long = `${'a'.repeat(20_000)}b`;
    expect(
      run(
        Array.from({ length: 50 }, () => 'a'.repeat(1000)),
        { stop: [long] },
      ).text,
    ).toBe('a'.repeat(50_000));
  });

  test('a whole character, cut by the upstream, can be one', () => {
    expect(run(['a\ud83d', '\ude00b'], { stop: ['😀'] })).toMatchObject({
      text: 'a',
      finishReason: 'stop',
    });
    expect(run(['a\ud83d', '\ude01b'], { stop: ['😀'] }).out).toEqual(['a', '😁b', '']);
  });
});

describe('token limit', () => {
  test('cut on a token', () => {
    expect(run(['Hello world again'], { maxTokens: 2 })).toMatchObject({
      text: 'Hello world',
      finishReason: 'length',
      tokens: 2,
    });
  });

  test('a reply that just fits is whole', () => {
    expect(run(['Hello', ' world'], { maxTokens: 2 })).toMatchObject({
      text: 'Hello world',
      finishReason: null,
      tokens: 2,
    });
  });

  test('whichever comes first decides', () => {
    const pieces = ['Hello wor', 'ld STOP again'];
    expect(run(pieces, { stop: [' STOP'], maxTokens: 2 })).toMatchObject({
      text: 'Hello world',
      finishReason: 'stop',
    });
    expect(run(pieces, { stop: [' STOP'], maxTokens: 1 })).toMatchObject({
      text: 'Hello',
      finishReason: 'length',
    });
    expect(run(pieces, { stop: ['Hello'], maxTokens: 1 })).toMatchObject({
      text: '',
      finishReason: 'stop',
      tokens: 0,
    });
  });
});

describe('any cutting gives what the whole text gives', () => {
  const unit = fc.constantFrom(
    'a',
    'b',
    'ab',
    'aba',
    ' ',
    '\n',
    'Hello',
    ' world',
    '的',
    '，',
    '😀',
  );
  const text = fc.array(unit, { maxLength: 80 }).map((parts) => parts.join(''));
  const sequence = fc.array(unit, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
  const limits = fc.record({
    stop: fc.array(sequence, { maxLength: 4 }),
    maxTokens: fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 60 })),
  });

  /** Anywhere, inside of characters too. */
  function pieces(whole: string, cuts: readonly number[]): string[] {
    const places = cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b);
    return [0, ...places].map((start, index) => whole.slice(start, places[index] ?? whole.length));
  }

  test('text, reason and count', () => {
    fc.assert(
      fc.property(text, limits, fc.array(fc.nat({ max: 400 }), { maxLength: 40 }), (t, l, cuts) => {
        const whole = run([t], l);
        const streamed = run(pieces(t, cuts), l);
        expect({ ...streamed, out: [] }).toEqual({ ...whole, out: [] });
        for (const piece of streamed.out) expect(piece.isWellFormed()).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('stop sequences by the letter', () => {
    fc.assert(
      fc.property(text, fc.array(sequence, { maxLength: 4 }), (t, stop) => {
        const expected = cutByLetter(t, stop);
        const { text: cut, finishReason, tokens } = run(Array.from(t), { stop });
        expect(cut).toBe(expected);
        expect(finishReason).toBe(expected === t ? null : 'stop');
        expect(tokens).toBe(countTokens(expected));
      }),
      { numRuns: 1000 },
    );
  });

  test('no more is held back than may begin a stop sequence', () => {
    fc.assert(
      fc.property(text, sequence, (t, stop) => {
        const reply = createReplyText({ stop: [stop], maxTokens: null });
        let given = '';
        let pushed = '';
        for (const character of t) {
          given += reply.push(character);
          pushed += character;
          if (reply.finishReason) return;
          expect(stop.startsWith(pushed.slice(given.length))).toBe(true);
        }
      }),
    );
  });
});
