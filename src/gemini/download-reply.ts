import type { CancelSignal } from '@/platform/cancellation';
import { isLoopbackHost } from '@/platform/loopback';
import {
  apiHeaders,
  defaultLanguage,
  type GeminiConnection,
  type GeminiIdentity,
  refusalOf,
} from './api';
import { decodeBase64, mediumInBase64 } from './base64-stream';
import { GeminiError } from './errors';
import type { WholeReply } from './exchange';
import { mediaTypeOf } from './fields';
import { type OpenReply, openReply } from './open-reply';

/** A file of the upstream, to be read once. */
export interface Download {
  /** What the reply says of its type, without parameters. */
  mimeType: string | null;
  /** The upstream waits for its reader. */
  content: AsyncIterable<Uint8Array>;
}

const maxRedirects = 5;
/** Enough to tell what a body is. */
const startBytes = 64;

/**
 * Fetches `url`, following redirects, until `endsAtMs` of `performance.now()`. What tells who we are
 * goes to the API host only, and no redirect leaves https, except on the loopback of a stand-in.
 *
 * @returns null if there is no such file
 * @throws GeminiError as `downloadFile` does
 */
export async function fetchFile(
  { endpoints, dispatcher, timeouts }: GeminiConnection,
  identity: GeminiIdentity,
  url: URL,
  endsAtMs: number,
  signal: CancelSignal,
): Promise<OpenReply | null> {
  const ownHeaders = apiHeaders(endpoints, identity, defaultLanguage);
  let target = url;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const isApi = target.origin === url.origin;
    const request = {
      url: `${target.origin}${target.pathname}${target.search}`,
      method: 'GET' as const,
      headers: isApi ? ownHeaders : { accept: '*/*' },
      deadlineMs: Math.max(1, endsAtMs - performance.now()),
      headMs: timeouts.downloadIdleMs,
      idleMs: timeouts.downloadIdleMs,
    };
    const reply = await openReply(dispatcher, request, signal);
    if ('body' in reply) return reply;
    if (reply.status === 404) return null;
    const next = redirectOf(reply, target);
    if (next === null) throw isApi ? refusalOf(reply, 'download') : foreignRefusal(reply);
    target = checkRedirect(next, url);
  }
  throw new GeminiError('upstream', 'The redirects of a download did not come to an end', {
    reason: 'TOO_MANY_HOPS',
  });
}

/**
 * The file in a good reply (protocol 15): base64 is told by a header, else by how it begins.
 *
 * @throws GeminiError `upstream` with reason `NO_BYTES` if the reply holds no file; what its body
 *   throws
 */
export async function toDownload({ headers, body }: OpenReply): Promise<Download> {
  const pieces = body[Symbol.asyncIterator]();
  const start = await readStart(pieces);
  const content = joined(start, pieces);
  const declared = mediaTypeOf(headers['content-type']);
  const isEncoded = headers['x-goog-safety-encoding'] === 'base64';
  if (start.length === 0 || (!isEncoded && isStub(start, declared))) {
    await pieces.return?.();
    throw new GeminiError('upstream', 'The download holds no file', { reason: 'NO_BYTES' });
  }
  if (isEncoded) {
    const mimeType = mediaTypeOf(headers['x-goog-safety-content-type']);
    return { mimeType, content: decodeBase64(content) };
  }
  const mimeType = mediumInBase64(start);
  return mimeType === null
    ? { mimeType: declared, content }
    : { mimeType, content: decodeBase64(content) };
}

function redirectOf({ status, headers }: WholeReply, from: URL): URL | null {
  const { location } = headers;
  const isRedirect = status >= 300 && status < 400 && typeof location === 'string';
  return isRedirect && URL.canParse(location, from) ? new URL(location, from) : null;
}

function checkRedirect(next: URL, apiUrl: URL): URL {
  const isStandIn = apiUrl.protocol === 'http:' && isLoopbackHost(apiUrl.hostname);
  const isAllowed = isStandIn && next.protocol === 'http:' && isLoopbackHost(next.hostname);
  if (next.protocol === 'https:' || isAllowed) return next;
  throw new GeminiError('upstream', `The download was redirected to ${next.origin}, not https`, {
    reason: 'forbidden_redirect',
  });
}

/** Other hosts do not know the account: whatever they refuse is none of its faults. */
function foreignRefusal({ status }: WholeReply): GeminiError {
  return new GeminiError('upstream', `The download was refused behind a redirect: ${status}`, {
    status,
  });
}

async function readStart(pieces: AsyncIterator<Buffer>): Promise<Buffer> {
  let start = Buffer.alloc(0);
  while (start.length < startBytes) {
    const { done, value } = await pieces.next();
    if (done) return start;
    start = Buffer.concat([start, value]);
  }
  return start;
}

async function* joined(
  start: Buffer,
  pieces: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield start;
    yield* { [Symbol.asyncIterator]: () => pieces };
  } finally {
    await pieces.return?.();
  }
}

/** What comes in place of the bytes when the upstream tells about the file instead (protocol 15). */
function isStub(start: Buffer, mimeType: string | null): boolean {
  return mimeType === 'application/json' || start.toString('latin1').trimStart().startsWith('{');
}
