import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunkWriter, eventPieces, toChatCompletion, toUsage } from '@/features/chat/to-openai';
import type { ChatCompletionChunk } from '@/openai/completion';

const head = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'a "model"\n' };
const counts = { promptTokens: 3, completionTokens: 12, reasoningTokens: 5 };
const usage = {
  prompt_tokens: 3,
  completion_tokens: 12,
  total_tokens: 15,
  completion_tokens_details: { reasoning_tokens: 5 },
};
const citation = { url: 'https://example.com/', title: 'A "page"', startIndex: 1, endIndex: 9 };
const annotation = {
  type: 'url_citation',
  url_citation: { start_index: 1, end_index: 9, url: 'https://example.com/', title: 'A "page"' },
};
const parse = (event: string): ChatCompletionChunk => {
  expect(event.startsWith('data: ') && event.endsWith('\n\n')).toBe(true);
  return JSON.parse(event.slice('data: '.length));
};
const frame = { ...head, object: 'chat.completion.chunk' };

describe('chunks', () => {
  const chunks = chunkWriter({ ...head, includeUsage: false });
  const choice = (index: number, delta: object, finish_reason: string | null = null) => ({
    ...frame,
    choices: [{ index, delta, logprobs: null, finish_reason }],
  });

  test('each kind', () => {
    expect(parse(chunks.role(0))).toEqual(choice(0, { role: 'assistant', content: '' }));
    expect(parse(chunks.content(1, 'a"\n\\'))).toEqual(choice(1, { content: 'a"\n\\' }));
    expect(parse(chunks.reasoning(2, 'Hm.'))).toEqual(choice(2, { reasoning_content: 'Hm.' }));
    expect(parse(chunks.citations(1, [citation]))).toEqual(
      choice(1, { annotations: [annotation] }),
    );
    expect(parse(chunks.finish(3, 'length'))).toEqual(choice(3, {}, 'length'));
  });

  test('with usage, all but the last have it null', () => {
    const writer = chunkWriter({ ...head, includeUsage: true });
    const earlier = [
      writer.role(0),
      writer.content(0, 'a'),
      writer.reasoning(0, 'b'),
      writer.finish(0, 'stop'),
    ];
    for (const event of earlier) expect(parse(event)).toMatchObject({ ...frame, usage: null });
    expect(parse(writer.usage(counts))).toEqual({ ...frame, choices: [], usage });
  });

  test('without it there is no such key', () => {
    expect(Object.keys(parse(chunks.content(0, 'a')))).not.toContain('usage');
  });

  test('any text comes through, on one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const event = chunks.content(0, text);
        expect(parse(event).choices[0]?.delta.content).toBe(text);
        expect(event.trimEnd()).not.toMatch(/[\r\n]/);
      }),
    );
  });
});

describe('eventPieces', () => {
  test('a short text is one piece', () => {
    expect(eventPieces('a')).toEqual(['a']);
  });

  test.each(['\u0000', '\ud83d\ude00', 'a\ud83d\ude00', '的', '"'])('many of %j fit', (unit) => {
    const text = unit.repeat(30_000);
    const pieces = eventPieces(text);
    expect(pieces.join('')).toBe(text);
    const chunks = chunkWriter({ ...head, includeUsage: true });
    for (const piece of pieces) {
      expect(piece.isWellFormed()).toBe(true);
      expect(Buffer.byteLength(chunks.content(0, piece))).toBeLessThan(64_000);
    }
  });
});

test('usage: the total is the sum, and no prompt is nothing', () => {
  expect(toUsage(counts)).toEqual(usage);
  expect(toUsage({ promptTokens: 0, completionTokens: 0, reasoningTokens: 0 })).toMatchObject({
    prompt_tokens: 1,
    completion_tokens: 0,
    total_tokens: 1,
  });
});

test('a whole answer', () => {
  const choices = [
    {
      text: 'Hello',
      reasoning: '',
      citations: [citation],
      images: [],
      finishReason: 'stop' as const,
    },
    { text: '', reasoning: 'Hm.', citations: [], images: [], finishReason: 'length' as const },
  ];
  expect(toChatCompletion({ ...head, choices, counts })).toEqual({
    ...head,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'Hello',
          refusal: null,
          annotations: [annotation],
        },
        logprobs: null,
        finish_reason: 'stop',
      },
      {
        index: 1,
        message: { role: 'assistant', content: '', refusal: null, reasoning_content: 'Hm.' },
        logprobs: null,
        finish_reason: 'length',
      },
    ],
    usage,
  });
});
