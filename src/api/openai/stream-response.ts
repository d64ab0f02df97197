import type { Reply } from '@/api/reply';
import { toErrorBody } from '@/openai/errors';
import { SSE_DONE, SSE_HEADERS, sseComment, sseData } from '@/openai/sse';
import type { AppError } from '@/platform/errors';

export interface StreamOptions {
  /** The headers go out after this silence, even without content. */
  earlyHeadersAfterMs: number;
  /** A comment line after each such silence, so that proxies keep the connection. */
  commentEveryMs: number;
  /** The failure as the caller may see it. */
  toShown(error: unknown): AppError;
  /** The first content is on its way. */
  onFirstByte(): void;
  /** The stream is over: well, failed, or left by the caller. Called once. */
  onEnd(how: 'done' | 'left' | AppError): void;
}

/**
 * Server-sent events as they come: `events` are whole events as text. The reply is made when the
 * first of them is there, so that a failure before it is an ordinary HTTP error (it is thrown); one
 * after it becomes an event with `error`, without `[DONE]`. When the caller leaves, `events` is ended.
 */
export async function streamReply(
  events: AsyncIterable<string>,
  options: StreamOptions,
): Promise<Reply> {
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  await settledWithin(first, options.earlyHeadersAfterMs);
  return { status: 200, headers: SSE_HEADERS, body: toBody(iterator, first, options) };
}

/** Waits for `promise`, but no longer than `ms`. */
async function settledWithin(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function toBody(
  iterator: AsyncIterator<string>,
  first: Promise<IteratorResult<string>>,
  { commentEveryMs, toShown, onFirstByte, onEnd }: StreamOptions,
): ReadableStream<Uint8Array> {
  let next: Promise<IteratorResult<string>> | null = first;
  let comments: NodeJS.Timeout | undefined;
  let started = false;

  const write = (controller: ReadableStreamDefaultController<Uint8Array>, text: string) => {
    controller.enqueue(Buffer.from(text));
    comments?.refresh();
  };
  const close = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    clearInterval(comments);
    controller.close();
  };

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        comments = setInterval(() => write(controller, sseComment('keep-alive')), commentEveryMs);
      },
      async pull(controller) {
        try {
          const result = await (next ?? iterator.next());
          next = null;
          if (result.done) {
            write(controller, SSE_DONE);
            close(controller);
            onEnd('done');
            return;
          }
          if (!started) {
            started = true;
            onFirstByte();
          }
          write(controller, result.value);
        } catch (error) {
          const shown = toShown(error);
          if (shown.code !== 'client_left')
            write(controller, sseData(JSON.stringify(toErrorBody(shown))));
          close(controller);
          onEnd(shown.code === 'client_left' ? 'left' : shown);
        }
      },
      async cancel() {
        clearInterval(comments);
        onEnd('left');
        await iterator.return?.();
      },
    },
    // Nothing is taken from the upstream before the caller's connection takes it.
    { highWaterMark: 0 },
  );
}
