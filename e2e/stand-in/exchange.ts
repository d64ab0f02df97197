import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { CallEntry } from './call-log';
import type { Clock } from './clock';

const maxBodyBytes = 128 * 1024 * 1024;

/** One request and its reply, with the ways in which a server can misbehave. */
export class Exchange {
  readonly at = Date.now();
  readonly request: IncomingMessage;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Resolves when the connection is done with this exchange, for whatever reason. */
  readonly closed: Promise<void>;
  /** True once nothing more can reach the client. */
  gone = false;
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  #entry: CallEntry | null = null;
  #cutByUs = false;
  #stopSleep: (() => void) | null = null;

  constructor(request: IncomingMessage, response: ServerResponse, clock: Clock) {
    this.request = request;
    this.#response = response;
    this.#clock = clock;
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
    if (clock.offsetMs !== 0) response.setHeader('Date', new Date(clock.now()).toUTCString());
    response.on('error', () => {});
    this.closed = new Promise((resolve) => {
      response.once('close', () => {
        this.#settle();
        resolve();
      });
    });
  }

  /** The time on the stand-in's clock, in ms since the epoch. */
  get nowMs(): number {
    return this.#clock.now();
  }

  /** Where the client found us, so that redirects stay on the origin it has configured. */
  get origin(): string {
    return `http://${this.request.headers.host ?? '127.0.0.1'}`;
  }

  /** Completes this entry of the log as the exchange goes on. */
  follow(entry: CallEntry): void {
    this.#entry = entry;
    if (this.gone) this.#settle();
  }

  /** The whole request body. @throws Error past 128 MiB or when the client leaves meanwhile. */
  readBody(): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    return new Promise((resolve, reject) => {
      this.request.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > maxBodyBytes) this.request.destroy(new Error('request body too large'));
      });
      this.request.once('end', () => resolve(Buffer.concat(chunks).toString()));
      this.request.once('error', reject);
    });
  }

  /** A complete reply. */
  send(status: number, type: string, body: string, headers: OutgoingHttpHeaders = {}): void {
    if (this.gone) return;
    this.#note(status);
    const length = Buffer.byteLength(body);
    this.#response.writeHead(status, {
      'content-type': type,
      'content-length': length,
      ...headers,
    });
    this.#response.end(body);
  }

  /** A complete reply of one JSON value, indented as Google does. */
  json(status: number, value: unknown, headers: OutgoingHttpHeaders = {}): void {
    const body = `${JSON.stringify(value, null, 2)}\n`;
    this.send(status, 'application/json; charset=UTF-8', body, headers);
  }

  /** Begins a reply that is written in parts; the head waits for the first write. */
  begin(status: number, type: string, headers: OutgoingHttpHeaders = {}): void {
    if (this.gone) return;
    this.#note(status);
    this.#response.writeHead(status, { 'content-type': type, ...headers });
  }

  /** Sends the head now. */
  flushHead(): void {
    if (!this.gone) this.#response.flushHeaders();
  }

  /** Sends a part of the body as one HTTP chunk; false when the client reads too slowly. */
  write(bytes: Uint8Array): boolean {
    return this.gone || this.#response.write(bytes);
  }

  /** Resolves when the client has caught up, or is gone. */
  async drained(): Promise<void> {
    if (this.gone || !this.#response.writableNeedDrain) return;
    const drain = new Promise<void>((resolve) => this.#response.once('drain', resolve));
    await Promise.race([drain, this.closed]);
  }

  /** Ends the body in the regular way. */
  end(): void {
    if (!this.gone) this.#response.end();
  }

  /** Cuts the connection with a TCP reset. What was written before is left a moment to arrive. */
  async reset(): Promise<void> {
    if (this.gone) return;
    this.#cutByUs = true;
    if (this.#response.headersSent) await this.sleep(20);
    const socket = this.request.socket;
    if (!socket.destroyed) socket.resetAndDestroy();
    await this.closed;
  }

  /** Waits; true when the client is still there afterwards. */
  async sleep(ms: number): Promise<boolean> {
    if (this.gone) return false;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stopSleep = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#stopSleep = null;
    return !this.gone;
  }

  #note(status: number): void {
    if (this.#entry !== null) this.#entry.status = status;
  }

  #settle(): void {
    this.gone = true;
    this.#stopSleep?.();
    if (this.#entry === null) return;
    this.#entry.endedAt = Date.now();
    this.#entry.aborted = !this.#cutByUs && !this.#response.writableFinished;
  }
}
