import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { CancelSignal } from '@/platform/cancellation';
import { GeminiError } from './errors';
import {
  type BodySink,
  collectBody,
  Exchange,
  type ExchangeRequest,
  maxErrorBodyBytes,
  type WholeReply,
} from './exchange';

/** The reply 200, its body still to be read. */
export interface OpenReply {
  status: 200;
  headers: IncomingHttpHeaders;
  /**
   * The upstream waits for its reader. Throws GeminiError: `truncated` if it was cut off, else of
   * the network, the deadline or the signal.
   */
  body: AsyncIterable<Buffer>;
}

const highWaterBytes = 64 * 1024;

/**
 * Sends a request and resolves at the head of a good reply, or with the whole of another one (its
 * body's beginning). A body that is not read holds its connection until the deadline: its reader
 * must read on, leave the iteration, or abort the signal.
 *
 * @throws GeminiError of the network or the deadline; `client_left` when the signal fires
 */
export function openReply(
  dispatcher: Dispatcher,
  request: ExchangeRequest,
  signal: CancelSignal,
): Promise<OpenReply | WholeReply> {
  return new Promise((resolve, reject) => {
    const exchange: Exchange = new Exchange(dispatcher, request, signal, {
      onHead: (status, headers) => {
        if (status === 200) {
          const body = new BodyStream(exchange);
          resolve({ status, headers, body });
          return body;
        }
        return collectBody(exchange, maxErrorBodyBytes, (bodyText, failure) => {
          if (failure?.fault === 'client_left') reject(failure);
          else resolve({ status, headers, bodyText });
        });
      },
      onFailure: reject,
    });
  });
}

class BodyStream extends Readable implements BodySink {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    super({ highWaterMark: highWaterBytes });
    this.#exchange = exchange;
    // It may fail before its reader is there, who hears of it nevertheless.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#exchange.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#exchange.cancel(new GeminiError('client_left', 'The reader left'));
    done(error);
  }

  onChunk(chunk: Buffer): void {
    if (!this.push(chunk)) this.#exchange.pause();
  }

  onEnd(): void {
    this.push(null);
  }

  onFailure(error: GeminiError): void {
    const isCut = error.reason === 'connection_lost' || error.reason === 'bad_http';
    this.destroy(isCut ? truncated(error) : error);
  }
}

function truncated(cause: GeminiError): GeminiError {
  return new GeminiError('truncated', 'The connection broke within the body', { cause });
}
