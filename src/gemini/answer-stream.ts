import { endOfTurn } from '@/platform/turn';
import { classifyNetworkError, GeminiError } from './errors';
import { eventsOfElement, type GeminiEvent, hasAnswer, hasRenewedToken } from './events';
import type { BodySink, Exchange } from './exchange';
import { createElementScanner } from './stream';

const maxElementBytes = 64 * 1024 * 1024;
/** So many unread bytes are parsed at once, and if nobody reads the upstream has to wait. */
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
  /** What came in this turn of the event loop, and how the body ended if it did. */
  #chunks: Buffer[] = [];
  #ending: (() => GeminiError) | null = null;
  #isParsingSoon = false;
  #batch: GeminiEvent[] = [];
  #unreadBytes = 0;
  #hasAnswer = false;
  #hasToken = false;
  #isOver = false;
  #failure: GeminiError | null = null;
  #reader: Reader | null = null;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  onChunk(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#unreadBytes += chunk.length;
    this.#parseSoon();
    if (this.#unreadBytes <= highWaterBytes) return;
    // So much needs no company, and a pause for the rest of the turn alone is dear.
    if (this.#reader !== null) this.#parse();
    else this.#exchange.pause();
  }

  onEnd(): void {
    this.#endAs(() => this.#failureAtEnd());
  }

  onFailure(error: GeminiError): void {
    if (error.fault === 'client_left') this.#drop();
    const isCut = error.fault === 'upstream' && error.reason === 'connection_lost';
    const failure = isCut ? truncated('The connection broke within the answer', error) : error;
    this.#endAs(() => failure);
  }

  [Symbol.asyncIterator](): AsyncIterator<GeminiEvent[], undefined> {
    return this;
  }

  next(): Promise<Batch> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#serve();
    });
  }

  /** The reader leaves: the upstream request ends at once, unless the answer was whole. */
  return(): Promise<Batch> {
    // Not after a whole answer: the error with its stack would be made for nothing.
    if (!this.#isOver) this.#exchange.cancel(new GeminiError('client_left', 'The reader left'));
    this.#drop();
    this.#failure = null;
    this.#isOver = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  #drop(): void {
    this.#chunks = [];
    this.#batch = [];
  }

  #endAs(ending: () => GeminiError): void {
    this.#ending = ending;
    this.#parseSoon();
  }

  /** In step with the other answers of which something came in this turn. */
  #parseSoon(): void {
    if (this.#isParsingSoon) return;
    this.#isParsingSoon = true;
    void endOfTurn().then(this.#parse);
  }

  #parse = (): void => {
    const chunks = this.#chunks;
    this.#chunks = [];
    try {
      for (const chunk of chunks) this.#parseChunk(chunk);
    } catch (error) {
      const failure = classifyNetworkError(error);
      this.#exchange.cancel(failure);
      // The body may have ended already, and the exchange with it.
      this.#ending = () => failure;
    }
    this.#isParsingSoon = false;
    if (this.#ending !== null && !this.#isOver) {
      this.#isOver = true;
      this.#failure = this.#ending();
    }
    if (this.#batch.length > 0) this.#exchange.clearDeadline();
    // The beginning of an element: nobody could read more.
    else this.#letMoreCome();
    this.#serve();
  };

  #letMoreCome(): void {
    this.#unreadBytes = 0;
    this.#exchange.resume();
  }

  #parseChunk(chunk: Buffer): void {
    const elements: unknown[] = [];
    try {
      this.#scanner.push(chunk, elements);
    } finally {
      for (const element of elements) this.#takeElement(element);
    }
  }

  #takeElement(element: unknown): void {
    if (this.#isOver) return;
    this.#hasAnswer ||= hasAnswer(element);
    this.#hasToken ||= hasRenewedToken(element);
    eventsOfElement(element, this.#batch);
    if (this.#batch.at(-1)?.type !== 'end') return;
    this.#isOver = true;
    this.#exchange.drain();
  }

  /** Gives a waiting reader all there is. */
  #serve(): void {
    const reader = this.#reader;
    if (reader === null || (this.#batch.length === 0 && !this.#isOver)) return;
    this.#reader = null;
    if (this.#batch.length > 0) {
      const batch = this.#batch;
      this.#batch = [];
      reader.resolve({ done: false, value: batch });
      this.#letMoreCome();
    } else if (this.#failure !== null) {
      reader.reject(this.#failure);
    } else {
      reader.resolve({ done: true, value: undefined });
    }
  }

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
