import type { IncomingMessage } from 'node:http';

// Next's handling of a query is quadratic in the number of its names: 16 kB stop the server for seconds.
const MAX_URL_CHARACTERS = 2_048;

/** What is answered to a request for a page without Next: a status, and the headers that go with it. */
export interface Refusal {
  status: number;
  headers: Record<string, string>;
}

/**
 * Null if Next may see this request. Pages are only read, and Next would take up to 10 MB of a body
 * from anybody.
 */
export function refusePage({ method = 'GET', url = '/' }: IncomingMessage): Refusal | null {
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: method === 'OPTIONS' ? 204 : 405, headers: { allow: 'GET, HEAD' } };
  }
  if (!url.startsWith('/')) return { status: 400, headers: {} };
  return url.length > MAX_URL_CHARACTERS ? { status: 414, headers: {} } : null;
}

/** The target of a request as a path, also where it came as a whole URL (RFC 9112, 3.2.2). */
export function toOriginForm(target: string): string {
  if (target.startsWith('/') || !URL.canParse(target)) return target;
  const { pathname, search } = new URL(target);
  return pathname + search;
}
