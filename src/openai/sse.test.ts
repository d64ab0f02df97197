import { expect, test } from 'vitest';
import { SSE_DONE, SSE_HEADERS, sseComment, sseData } from '@/openai/sse';

test('an event is one line and a blank one', () => {
  expect(sseData(JSON.stringify({ a: 'b\nc' }))).toBe('data: {"a":"b\\nc"}\n\n');
});

test('a comment is no event', () => {
  expect(sseComment('ping')).toBe(': ping\n\n');
});

test('the end of a stream, to the letter', () => {
  expect(SSE_DONE).toBe('data: [DONE]\n\n');
});

test('a stream is neither stored, compressed nor buffered', () => {
  expect(SSE_HEADERS).toEqual({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
  });
});
