import type { Writable } from 'node:stream';
import type { PipedBody, Reply } from '@/api/reply';
import { toErrorBody } from '@/openai/errors';
import { SSE_HEADERS, sseComment, sseData } from '@/openai/sse';
import { AppError } from '@/platform/errors';

export interface StreamOptions {
  /** The headers go out after this silence, even without content. */
  earlyHeadersAfterMs: number;
  /** A comment line after each such silence, so that proxies keep the connection. */
  commentEveryMs: number;
  /** The failure as the caller may see it. */
  toShown(error: unknown): AppError;
  /** The first content is on its way. */
  onFirstByte(): void;
  /** The stream is over, called once: well, or with what went wrong (`client_left` included). */
  onEnd(failure: AppError | null): void;
}

/**
 * Server-sent events as they come: `events` are whole events as text. The reply is made when the
 * first of them is there, so that a failure before it is an ordinary HTTP error (it is thrown); one
 * after it becomes an event with `error`. When the caller leaves, `events` is ended.
 */
export async function streamReply(
  events: AsyncIterable<string>,
  options: StreamOptions,
): Promise<Reply> {
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  await settledWithin(first, options.earlyHeadersAfterMs);
  return { status: 200, headers: SSE_HEADERS, body: new EventBody(iterator, first, options) };
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

/** A caller that takes nothing for so long has gone, whatever its connection says. */
const UNREAD_MS = 120_000;

/** Writes itself to the connection; the next event is asked for when that has taken the last. */
class EventBody implements PipedBody {
  readonly #iterator: AsyncIterator<string>;
  readonly #options: StreamOptions;
  readonly #first: Promise<IteratorResult<string>>;
  #comments: NodeJS.Timeout | undefined;
  #unreadSince: number | null = null;
  #isOver = false;

  constructor(
    iterator: AsyncIterator<string>,
    first: Promise<IteratorResult<string>>,
    options: StreamOptions,
  ) {
    this.#iterator = iterator;
    this.#first = first;
    this.#options = options;
  }

  pipe(to: Writable): void {
    this.#comments = setInterval(() => this.#keepAlive(to), this.#options.commentEveryMs);
    to.once('close', () => this.destroy());
    to.on('error', () => this.destroy());
    void this.#run(to);
  }

  /** The caller has left. */
  destroy(): void {
    if (this.#isOver) return;
    this.#end(new AppError('client_left', 'The client closed the connection.'));
    // What still comes of it is of no interest any more.
    this.#iterator.return?.().catch(() => {});
  }

  async #run(to: Writable): Promise<void> {
    try {
      let result = await this.#first;
      if (!this.#isOver) this.#options.onFirstByte();
      while (!this.#isOver && !result.done) {
        this.#comments?.refresh();
        if (!to.write(result.value)) await drained(to);
        result = await this.#iterator.next();
      }
      if (this.#isOver) return;
      to.end();
      this.#end(null);
    } catch (error) {
      if (this.#isOver) return;
      const shown = this.#options.toShown(error);
      const isLeft = shown.code === 'client_left';
      to.end(isLeft ? undefined : sseData(JSON.stringify(toErrorBody(shown))));
      this.#end(shown);
    }
  }

  #keepAlive(to: Writable): void {
    if (!to.writableNeedDrain) {
      to.write(sseComment('keep-alive'));
      this.#unreadSince = null;
      return;
    }
    // The last comment still waits: the caller reads nothing. It may not hold an account for ever.
    this.#unreadSince ??= Date.now();
    if (Date.now() - this.#unreadSince >= UNREAD_MS) to.destroy();
  }

  #end(failure: AppError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#comments);
    this.#options.onEnd(failure);
  }
}

/** Resolves when `to` takes more, or never will. */
function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      to.off('drain', settle).off('close', settle);
      resolve();
    };
    to.once('drain', settle).once('close', settle);
  });
}
