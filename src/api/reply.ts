import type { Writable } from 'node:stream';
import { FastResponse } from 'srvx/node';

/** What a handler answers; the endpoint adds the headers that every answer has. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body: string | PipedBody | null;
}

/**
 * A body that writes itself. In our own lane it gets the connection: a web stream between the two would
 * cost a tenth of a streamed request. Elsewhere a web stream is made of it.
 */
export interface PipedBody {
  /** Called once. Must notice by itself when `to` is closed. */
  pipe(to: Writable): void;
  /** Called instead of `pipe`, or after it, when nobody reads any more. */
  destroy(): void;
}

/** One address: the same function serves the custom server's own lane and Next's route. */
export type Endpoint = (request: Request) => Promise<Response>;

/** A JSON reply. */
export function jsonReply(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): Reply {
  const all = Object.assign({ 'content-type': 'application/json' }, headers);
  return { status, headers: all, body: JSON.stringify(body) };
}

/** The web response of a reply; without its body for HEAD. */
export function toResponse(reply: Reply, isHead: boolean): Response {
  // FastResponse spares some 75 µs a request over Response; Next takes it too.
  // Its type does not tell that it takes everything with a `pipe`.
  return new FastResponse(isHead ? null : (reply.body as string | null), {
    status: reply.status,
    headers: reply.headers ?? {},
  });
}

/**
 * The path of a request's URL, without building a URL object on the hot path; empty if it has none
 * (a `Host` that is no host).
 */
export function pathOf(request: Request): string {
  const url = urlOf(request);
  if (url === '') return '';
  const start = url.indexOf('/', url.indexOf('://') + 3);
  if (start < 0) return '/';
  const end = url.search(/[?#]/);
  return url.slice(start, end < 0 ? undefined : end);
}

/** The query of a request's URL; empty if it has none. */
export function queryOf(request: Request): URLSearchParams {
  const url = urlOf(request);
  const start = url.indexOf('?');
  return new URLSearchParams(start < 0 ? '' : url.slice(start));
}

function urlOf(request: Request): string {
  try {
    return request.url;
  } catch {
    return '';
  }
}
