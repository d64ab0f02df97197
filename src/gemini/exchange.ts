import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { CancelSignal } from '@/platform/cancellation';
import { endOfTurn } from '@/platform/turn';
import { classifyNetworkError, GeminiError } from './errors';

export interface ExchangeRequest {
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  /** A stream needs its `content-length` among the headers; what it throws ends the exchange. */
  body?: string | AsyncIterable<Uint8Array>;
  /** From now until `clearDeadline` or the end. */
  deadlineMs: number;
  /** Longest silence before the head; 0 or absent: only the deadline counts. */
  headMs?: number;
  /** Longest silence within the body; 0 or absent: only the deadline counts. */
  idleMs?: number;
}

/** Receives a body. Exactly one of `onEnd` and `onFailure` is called, once and last. */
export interface BodySink {
  onChunk(chunk: Buffer): void;
  onEnd(): void;
  onFailure(error: GeminiError): void;
}

/** Receives a reply: either its head, or why there is none. */
export interface ReplySink {
  onHead(status: number, headers: IncomingHttpHeaders): BodySink;
  onFailure(error: GeminiError): void;
}

/** So much of an error's body says enough. */
export const maxErrorBodyBytes = 64 * 1024;
const drainLimitBytes = 64 * 1024;

/**
 * One HTTP exchange, straight on undici's dispatch: cheaper than `request` and `fetch`, and it can
 * be ended at any moment, also while the connection is still being made. Redirects are not followed.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #reply: ReplySink;
  readonly #signal: CancelSignal;
  #body: BodySink | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #deadline: NodeJS.Timeout | null = null;
  #state: 'open' | 'draining' | 'closed' = 'open';
  #drainedBytes = 0;

  constructor(
    dispatcher: Dispatcher,
    request: ExchangeRequest,
    signal: CancelSignal,
    reply: ReplySink,
  ) {
    this.#reply = reply;
    this.#signal = signal;
    this.#deadline = setTimeout(this.#onDeadline, request.deadlineMs);
    signal.addEventListener('abort', this.#onAbort);
    if (signal.aborted) {
      queueMicrotask(this.#onAbort);
      return;
    }
    const slash = request.url.indexOf('/', 'https://'.length);
    dispatcher.dispatch(
      {
        origin: request.url.slice(0, slash),
        path: request.url.slice(slash),
        method: request.method,
        headers: request.headers,
        body: bodyOf(request),
        headersTimeout: request.headMs ?? 0,
        bodyTimeout: request.idleMs ?? 0,
      },
      this,
    );
  }

  /** From now on only silence (`idleMs`) ends it. */
  clearDeadline(): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#deadline = null;
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Ends the upstream request at once; the sink gets the error. */
  cancel(error: GeminiError): void {
    if (this.#state !== 'open') return;
    this.#close('closed');
    this.#controller?.abort(error);
    (this.#body ?? this.#reply).onFailure(error);
  }

  /** The body's sink has all it wants: reads the little that is left, so that the connection is kept. */
  drain(): void {
    if (this.#state !== 'open') return;
    this.#close('draining');
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#state === 'closed') controller.abort(new Error('cancelled'));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    if (this.#state !== 'open' || status < 200) return;
    this.#body = this.#reply.onHead(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#state === 'open') {
      this.#body?.onChunk(chunk);
    } else if (this.#state === 'draining') {
      this.#drainedBytes += chunk.length;
      if (this.#drainedBytes > drainLimitBytes) controller.abort(new Error('drained enough'));
    }
  }

  onResponseEnd(): void {
    if (this.#state !== 'open') return;
    this.#close('closed');
    this.#body?.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#state !== 'open') return;
    this.#close('closed');
    const connected = this.#controller !== null;
    (this.#body ?? this.#reply).onFailure(classifyNetworkError(error, { connected }));
  }

  #onAbort = (): void => {
    this.cancel(new GeminiError('client_left', 'The caller left', { cause: this.#signal.reason }));
  };

  #onDeadline = (): void => {
    // What came before it may not be parsed yet; its sink was the first to wait for the turn's end.
    void endOfTurn().then(this.#cancelIfLate);
  };

  #cancelIfLate = (): void => {
    if (this.#deadline === null) return;
    const fault = this.#controller === null ? 'egress' : 'upstream';
    this.cancel(new GeminiError(fault, 'No answer in time', { reason: 'timeout' }));
  };

  #close(state: 'draining' | 'closed'): void {
    this.#state = state;
    this.clearDeadline();
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

/** Undici takes any async iterable as a body, but its types name only those that are a `Readable`. */
function bodyOf({ body }: ExchangeRequest): string | Readable | null {
  return (body ?? null) as string | Readable | null;
}

/**
 * Collects a body of at most `maxBytes`. `onDone` gets what came, and a failure when that is not
 * all: of the network, or `upstream` with reason `reply_too_large`.
 */
export function collectBody(
  exchange: Exchange,
  maxBytes: number,
  onDone: (text: string, failure: GeminiError | null) => void,
): BodySink {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const text = () => Buffer.concat(chunks).toString();
  return {
    onChunk(chunk) {
      chunks.push(chunk.subarray(0, maxBytes - bytes));
      bytes += chunk.length;
      if (bytes <= maxBytes) return;
      const message = 'The reply is above the size limit';
      exchange.cancel(new GeminiError('upstream', message, { reason: 'reply_too_large' }));
    },
    onEnd: () => onDone(text(), null),
    onFailure: (failure) => onDone(text(), failure),
  };
}

/** A whole reply of a short call, whatever its status. */
export interface WholeReply {
  status: number;
  headers: IncomingHttpHeaders;
  bodyText: string;
}

const maxReplyBytes = 1024 * 1024;

/**
 * Sends a short call and reads its whole reply, at most 1 MiB. Redirects and error statuses are
 * replies like others.
 *
 * @throws GeminiError of the network or the deadline; `upstream` with reason `reply_too_large`.
 */
export function readReply(
  dispatcher: Dispatcher,
  request: ExchangeRequest,
  signal: CancelSignal,
): Promise<WholeReply> {
  return new Promise((resolve, reject) => {
    const exchange: Exchange = new Exchange(dispatcher, request, signal, {
      onHead: (status, headers) =>
        collectBody(exchange, maxReplyBytes, (bodyText, failure) => {
          if (failure !== null) return reject(failure);
          // In step with the other calls that were answered in this turn.
          void endOfTurn().then(() => resolve({ status, headers, bodyText }));
        }),
      onFailure: reject,
    });
  });
}
