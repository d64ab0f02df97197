import type { Reply } from '@/api/reply';
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
  // Nothing is taken from the upstream before the caller's connection takes it.
  const body = new ReadableStream(new EventSource(iterator, first, options), { highWaterMark: 0 });
  return { status: 200, headers: SSE_HEADERS, body };
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

type Controller = ReadableStreamDefaultController<Uint8Array>;

class EventSource implements UnderlyingDefaultSource<Uint8Array> {
  readonly #iterator: AsyncIterator<string>;
  readonly #options: StreamOptions;
  #first: Promise<IteratorResult<string>> | null;
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

  start(controller: Controller): void {
    this.#comments = setInterval(() => this.#keepAlive(controller), this.#options.commentEveryMs);
  }

  #keepAlive(controller: Controller): void {
    if ((controller.desiredSize ?? 0) >= 0) {
      this.#write(controller, sseComment('keep-alive'));
      this.#unreadSince = null;
      return;
    }
    // The last comment still waits: the caller reads nothing. It may not hold an account for ever.
    this.#unreadSince ??= Date.now();
    if (Date.now() - this.#unreadSince < UNREAD_MS) return;
    controller.error(new Error('The caller does not read.'));
    void this.cancel();
  }

  async pull(controller: Controller): Promise<void> {
    try {
      const result = await (this.#first ?? this.#iterator.next());
      // Left while it waited: the stream takes nothing any more.
      if (this.#isOver) return;
      if (this.#first) this.#options.onFirstByte();
      this.#first = null;
      if (!result.done) return this.#write(controller, result.value);
      controller.close();
      this.#end(null);
    } catch (error) {
      if (this.#isOver) return;
      const shown = this.#options.toShown(error);
      const isLeft = shown.code === 'client_left';
      if (!isLeft) this.#write(controller, sseData(JSON.stringify(toErrorBody(shown))));
      controller.close();
      this.#end(shown);
    }
  }

  async cancel(): Promise<void> {
    this.#end(new AppError('client_left', 'The client closed the connection.'));
    await this.#iterator.return?.();
  }

  #write(controller: Controller, text: string): void {
    controller.enqueue(Buffer.from(text));
    this.#comments?.refresh();
  }

  #end(failure: AppError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#comments);
    this.#options.onEnd(failure);
  }
}
