import { promises as dns, type LookupAddress } from 'node:dns';
import net, { type LookupFunction } from 'node:net';
import { type Agent, buildConnector, type Dispatcher } from 'undici';
import { type Allowances, isPublicAddress, plainHost } from '@/platform/address-rules';
import type { CancelSignal } from '@/platform/cancellation';
import { headerOf, mimeTypeOf } from '@/platform/content-headers';
import { excerpt } from '@/platform/errors';
import { keptDispatcher } from '@/platform/http';
import { isLoopbackHost } from '@/platform/loopback';
import { newAgent } from '@/platform/paused-connection';

const MAX_REDIRECTS = 5;
const REDIRECT_STATUSES = [301, 302, 303, 307, 308];

export type PublicFetchFault =
  | 'bad_url'
  | 'private_address'
  | 'unresolvable'
  | 'bad_status'
  | 'too_large'
  | 'timeout'
  | 'failed'
  | 'left';

const brand = Symbol.for('business-gemini-pool.public-fetch-error');

/**
 * Why a URL that somebody else named gave nothing. The message is for whoever named it: it has the
 * host as the URL has it, never the address that it leads to. The `cause` is for the log.
 */
export class PublicFetchError extends Error {
  readonly [brand] = true;
  override readonly name = 'PublicFetchError';
  readonly reason: PublicFetchFault;

  constructor(reason: PublicFetchFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
  }
}

/** True for a `PublicFetchError` of any module copy. */
export function isPublicFetchError(error: unknown): error is PublicFetchError {
  return typeof error === 'object' && error !== null && brand in error;
}

/** All addresses of a host name. */
export type Resolve = (host: string) => Promise<LookupAddress[]>;

/** What decides whether a connection may be made. */
export interface AddressGuard {
  allowances: Allowances;
  /** The system's own way, unless a test has another. */
  resolve?: Resolve | undefined;
}

export interface PublicFetchOptions extends AddressGuard {
  maxBytes: number;
  /** From the call to the last byte, redirects and the reader's own pauses included. */
  timeoutMs: number;
  connectMs: number;
}

/** An answer under way: to be read to its end, or left, or cancelled. */
export interface PublicReply {
  /** As the server has it, without parameters, in lower case. */
  mimeType: string | null;
  /** @throws PublicFetchError `too_large`, `timeout`, `failed`, `left` */
  content: AsyncIterable<Uint8Array>;
  /** Closes the connection of a reply whose content nobody begins to read. */
  cancel(): void;
}

/**
 * Gets a URL that somebody else named, without becoming a way into the operator's network: every
 * connection, of the URL itself and of up to five redirects, goes to a public address or to one that
 * is allowed. Nothing of ours goes along, no cookies and no credentials; nothing is kept.
 * @throws PublicFetchError
 */
export async function fetchPublic(
  url: string,
  options: PublicFetchOptions,
  signal: CancelSignal,
): Promise<PublicReply> {
  const visit = new Visit(options, signal);
  try {
    const { headers, body } = await visit.go(url);
    if (Number(headerOf(headers, 'content-length')) > options.maxBytes) throw visit.tooLarge();
    return {
      mimeType: mimeTypeOf(headers),
      content: visit.piecesOf(body),
      cancel: () => visit.end(),
    };
  } catch (error) {
    const failure = visit.failureOf(error);
    visit.end();
    throw failure;
  }
}

/** One fetch with all its redirects, on connections of its own. */
class Visit {
  /** Where it is now. */
  url = new URL('http://unknown');
  readonly #options: PublicFetchOptions;
  readonly #signal: CancelSignal;
  readonly #agent: Agent;
  readonly #timer: NodeJS.Timeout;
  /** Why it was ended from outside. */
  #ended: PublicFetchError | null = null;

  constructor(options: PublicFetchOptions, signal: CancelSignal) {
    this.#options = options;
    this.#signal = signal;
    // Without pipelining nothing is kept alive: each redirect is resolved and checked anew.
    this.#agent = newAgent(guardedConnector(options, options.connectMs), {
      pipelining: 0,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#timer = setTimeout(() => this.end(this.#timedOut()), options.timeoutMs);
    signal.addEventListener('abort', this.#leave);
    if (signal.aborted) this.#leave();
  }

  readonly #leave = () => this.end(new PublicFetchError('left', 'Nobody waits for it any more.'));

  /** The first answer that is no redirect. */
  async go(url: string): Promise<Dispatcher.ResponseData> {
    const { allowances } = this.#options;
    this.url = assertPublicUrl(url, allowances);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      const answer = await this.#get();
      const location = headerOf(answer.headers, 'location');
      if (!REDIRECT_STATUSES.includes(answer.statusCode) || location === '') {
        return this.#accepted(answer);
      }
      answer.body.on('error', () => {}).destroy();
      const next = URL.canParse(location, this.url) ? new URL(location, this.url).href : location;
      this.url = assertPublicUrl(next, allowances);
    }
    throw new PublicFetchError('failed', `${this.#host} redirects too often.`);
  }

  #get(): Promise<Dispatcher.ResponseData> {
    return this.#agent.request({
      origin: this.url.origin,
      path: `${this.url.pathname}${this.url.search}`,
      method: 'GET',
      headers: {
        accept: '*/*',
        'accept-encoding': 'identity',
        'user-agent': 'business-gemini-pool',
      },
    });
  }

  #accepted(answer: Dispatcher.ResponseData): Dispatcher.ResponseData {
    const { statusCode: status, headers } = answer;
    if (status < 200 || status > 299) {
      throw new PublicFetchError('bad_status', `${this.#host} answered with HTTP ${status}.`);
    }
    if (!/^(identity)?$/i.test(headerOf(headers, 'content-encoding'))) {
      const message = `${this.#host} answered in an encoding that was not asked for.`;
      throw new PublicFetchError('failed', message);
    }
    return answer;
  }

  async *piecesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let bytes = 0;
    try {
      for await (const piece of body) {
        bytes += piece.byteLength;
        if (bytes > this.#options.maxBytes) throw this.tooLarge();
        yield piece;
      }
    } catch (error) {
      throw this.failureOf(error);
    } finally {
      this.end();
    }
  }

  /** Closes its connections, at once; what is under way fails, with `why` if that is the first. */
  end(why?: PublicFetchError): void {
    this.#ended ??= why ?? null;
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#leave);
    void this.#agent.destroy();
  }

  /** What to tell of an error on the way. */
  failureOf(error: unknown): PublicFetchError {
    if (this.#ended !== null) return this.#ended;
    if (isPublicFetchError(error)) return error;
    const code = String((error as { code?: unknown } | null)?.code ?? 'no code');
    if (/TIMEOUT|TIMEDOUT/.test(code)) return this.#timedOut(error);
    return new PublicFetchError('failed', `${this.#host} could not be fetched (${code}).`, {
      cause: error,
    });
  }

  tooLarge(): PublicFetchError {
    const message = `The file at ${this.#host} is larger than ${this.#options.maxBytes} bytes.`;
    return new PublicFetchError('too_large', message);
  }

  #timedOut(cause?: unknown): PublicFetchError {
    return new PublicFetchError('timeout', `${this.#host} did not answer in time.`, { cause });
  }

  get #host(): string {
    return excerpt(this.url.hostname);
  }
}

/**
 * The URL, if it is one of http or https without credentials, and its host is a name or an address
 * that is public or allowed. A name may still lead to a private address: the connection tells.
 * @throws PublicFetchError `bad_url`, `private_address`
 */
export function assertPublicUrl(url: string, allowances: Allowances): URL {
  if (!URL.canParse(url)) throw new PublicFetchError('bad_url', 'That is no URL.');
  const read = new URL(url);
  if (!['http:', 'https:'].includes(read.protocol)) {
    throw new PublicFetchError('bad_url', 'The URL must begin with http:// or https://.');
  }
  if (read.username !== '' || read.password !== '') {
    throw new PublicFetchError('bad_url', 'The URL must have no user name and no password.');
  }
  assertHost(read.hostname, portOf(read), allowances);
  return read;
}

/**
 * The `lookup` for the sockets of an agent whose connections all go to `port`: it gives the very
 * addresses that it checked, and fails with a `PublicFetchError` if one of them is neither public nor
 * allowed. A host that is an address is not looked up: see `assertPublicUrl`.
 */
export function guardedLookup(guard: AddressGuard, port: number): LookupFunction {
  return (host, { all }, callback) => {
    checkedAddresses(host, port, guard).then(
      (addresses) => {
        if (all) callback(null, addresses);
        else callback(null, addresses[0].address, addresses[0].family);
      },
      (error) => callback(error, []),
    );
  };
}

/**
 * Kept connections under the same guard, for our own calls to addresses that were configured; shared
 * and closed as those of `dispatcherFor`. A refused connection fails as a `PublicFetchError`.
 */
export function publicDispatcher(allowances: Allowances, connectMs: number): Dispatcher {
  return keptDispatcher(`public ${connectMs} ${allowances.text}`, () =>
    guardedConnector({ allowances }, connectMs),
  );
}

function guardedConnector(guard: AddressGuard, connectMs: number): buildConnector.connector {
  return (options, callback) => {
    const port = portOf(options);
    try {
      assertHost(options.hostname, port, guard.allowances);
    } catch (error) {
      queueMicrotask(() => callback(error as PublicFetchError, null));
      return;
    }
    const lookup = guardedLookup(guard, port);
    buildConnector({ timeout: connectMs, lookup })(options, callback);
  };
}

/** Refuses a host that needs no look-up to be known as private. */
function assertHost(hostname: string, port: number, allowances: Allowances): void {
  const host = plainHost(hostname);
  const address = isLoopbackHost(host) ? '127.0.0.1' : host;
  if (net.isIP(address)) assertAddress(hostname, port, address, allowances);
}

function assertAddress(host: string, port: number, address: string, allowances: Allowances): void {
  if (isPublicAddress(address) || allowances.allows(host, port, address)) return;
  throw new PublicFetchError('private_address', notPublic(host));
}

async function checkedAddresses(
  host: string,
  port: number,
  { allowances, resolve = resolveAll }: AddressGuard,
): Promise<[LookupAddress, ...LookupAddress[]]> {
  const [first, ...others] = await resolve(host).catch((cause) => {
    throw unresolvable(host, cause);
  });
  if (first === undefined) throw unresolvable(host);
  for (const { address } of [first, ...others]) assertAddress(host, port, address, allowances);
  return [first, ...others];
}

function resolveAll(host: string): Promise<LookupAddress[]> {
  return dns.lookup(host, { all: true });
}

/** The same whether there is such a name or not: that is the operator's network's business. */
function notPublic(host: string): string {
  return `${excerpt(host)} leads to no public address. The server's operator can allow others with ALLOW_PRIVATE_URLS.`;
}

function unresolvable(host: string, cause?: unknown): PublicFetchError {
  return new PublicFetchError('unresolvable', notPublic(host), { cause });
}

function portOf({ protocol, port }: { protocol: string; port: string }): number {
  return Number(port || (protocol === 'https:' ? 443 : 80));
}
