/** Headers of a stream. Proxies must neither buffer, compress nor keep it. */
export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
} as const;

/** Ends a stream; the `openai` client compares the word exactly. */
export const SSE_DONE = 'data: [DONE]\n\n';

/** What an event's JSON stands between. */
export const SSE_DATA = 'data: ';
export const SSE_END = '\n\n';

/** One event of `json`, which is on one line as `JSON.stringify` writes it. No `event:` line. */
export function sseData(json: string): string {
  return `${SSE_DATA}${json}${SSE_END}`;
}

/** A comment that every client ignores and that keeps an idle connection open. */
export function sseComment(text: string): string {
  return `: ${text}${SSE_END}`;
}
