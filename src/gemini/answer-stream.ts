import { classifyNetworkError, GeminiError } from './errors';
import { eventsOfElement, type GeminiEvent, hasAnswer, hasRenewedToken } from './events';
import type { BodySink, Exchange } from './exchange';
import { createElementScanner } from './stream';

const maxElementBytes = 64 * 1024 * 1024;
/** Bytes of unread events above which the upstream has to wait. */
const highWaterBytes = 64 * 1024;

type Batch = IteratorResult<GeminiEvent[], undefined>;

interface Reader {
  resolve: (batch: Batch) => void;
  reject: (error: GeminiError) => void;
}

/**
 * The body of a chat reply as batches of events, for one reader. A plain sink and a plain
 * iterator: no stream or generator stands between socket and reader.
 */
export class AnswerStream implements BodySink, AsyncIterable<GeminiEvent[]> {
  readonly #exchange: Exchange;
  readonly #scanner = createElementScanner({ maxElementBytes });
  #batch: GeminiEvent[] = [];
  #unreadBytes = 0;
  #hasContent = false;
  #hasAnswer = false;
  #hasToken = false;
  #isOver = false;
  #failure: GeminiError | null = null;
  #reader: Reader | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  onChunk(chunk: Buffer): void {
    this.#unreadBytes += chunk.length;
    try {
      this.#read(chunk);
    } catch (error) {
      this.#exchange.cancel(classifyNetworkError(error));
    }
    if (this.#batch.length === 0) return;
    if (!this.#hasContent) {
      this.#hasContent = true;
      this.#exchange.clearDeadline();
    }
    if (this.#reader !== null) queueMicrotask(this.#serve);
    else if (this.#unreadBytes > highWaterBytes) this.#exchange.pause();
  }

  onEnd(): void {
    this.#finish(this.#failureAtEnd());
  }

  onFailure(error: GeminiError): void {
    if (error.fault === 'client_left') this.#batch = [];
    const isCut = error.fault === 'upstream' && error.reason === 'connection_lost';
    this.#finish(isCut ? truncated('The connection broke within the answer', error) : error);
  }

  [Symbol.asyncIterator](): AsyncIterator<GeminiEvent[], undefined> {
    return this;
  }

  next(): Promise<Batch> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      if (this.#batch.length > 0 || this.#isOver) this.#serve();
    });
  }

  /** The reader leaves: the upstream request ends at once, unless the answer was whole. */
  return(): Promise<Batch> {
    // Not after a whole answer: the error with its stack would be made for nothing.
    if (!this.#isOver) this.#exchange.cancel(new GeminiError('client_left', 'The reader left'));
    this.#batch = [];
    this.#failure = null;
    return Promise.resolve({ done: true, value: undefined });
  }

  #read(chunk: Buffer): void {
    const elements: unknown[] = [];
    try {
      this.#scanner.push(chunk, elements);
    } finally {
      for (const element of elements) this.#readElement(element);
    }
  }

  #readElement(element: unknown): void {
    if (this.#isOver) return;
    this.#hasAnswer ||= hasAnswer(element);
    this.#hasToken ||= hasRenewedToken(element);
    eventsOfElement(element, this.#batch);
    if (this.#batch.at(-1)?.type !== 'end') return;
    this.#isOver = true;
    this.#exchange.drain();
  }

  #finish(failure: GeminiError | null): void {
    this.#isOver = true;
    this.#failure = failure;
    queueMicrotask(this.#serve);
  }

  /** Gives a waiting reader all there is. As a microtask it comes after all chunks of one read. */
  #serve = (): void => {
    const reader = this.#reader;
    if (reader === null) return;
    this.#reader = null;
    if (this.#batch.length > 0) {
      const batch = this.#batch;
      this.#batch = [];
      this.#unreadBytes = 0;
      reader.resolve({ done: false, value: batch });
      this.#exchange.resume();
    } else if (this.#failure !== null) {
      reader.reject(this.#failure);
    } else {
      reader.resolve({ done: true, value: undefined });
    }
  };

  /** A body that ended without a terminal state is never an answer (protocol 11 and 12.1). */
  #failureAtEnd(): GeminiError {
    if (this.#scanner.end() === 'truncated') return truncated('The answer broke off');
    if (this.#hasAnswer) return truncated('The answer ended without its last state');
    if (this.#hasToken) {
      const message = 'The upstream sent a token and no answer: the credential is refused';
      return new GeminiError('credential', message, { reason: 'TOKEN_ONLY' });
    }
    return new GeminiError('upstream', 'The upstream answered with nothing', { reason: 'empty' });
  }
}

function truncated(message: string, cause?: GeminiError): GeminiError {
  return new GeminiError('truncated', message, { cause });
}
