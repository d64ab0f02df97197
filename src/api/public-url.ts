import type { ServerRequest } from 'srvx';
import { env } from '@/platform/env';

/** Names, IPv4, IPv6 in brackets; nothing that could end a URL, or a link in markdown. */
const hostPattern = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const prefixPattern = /^(?:\/[\w.~-]+)+\/?$/;

/**
 * The base of links to this server, without a slash at its end: `configured` (the setting), else
 * PUBLIC_URL, else where the request came to: by `X-Forwarded-*` of a proxy in TRUST_PROXY, else by
 * its Host header. Of this server itself it is http: it has no TLS of its own.
 */
export function publicUrlOf(request: Request, configured: string | null): string {
  const fixed = configured ?? env().publicUrl;
  if (fixed !== null) return fixed.replace(/\/+$/, '');
  const socket = (request as ServerRequest).runtime?.node?.req.socket;
  const host = request.headers.get('host') ?? '';
  const here = baseOf('http', host) ?? `http://127.0.0.1:${socket?.localPort ?? env().port}`;
  const isTrusted = env().trustedProxies.has(socket?.remoteAddress ?? '');
  return isTrusted ? (forwardedBase(request.headers) ?? here) : here;
}

/** What a proxy tells of the address that the caller used; null if it makes none. */
function forwardedBase(headers: Headers): string | null {
  const scheme = forwarded(headers, 'proto').toLowerCase() === 'https' ? 'https' : 'http';
  const host = forwarded(headers, 'host') || (headers.get('host') ?? '');
  const port = forwarded(headers, 'port');
  const prefix = forwarded(headers, 'prefix');
  const hasPort = /:\d+$/.test(host) || !/^\d{1,5}$/.test(port);
  const base = baseOf(scheme, hasPort ? host : `${host}:${port}`) ?? baseOf(scheme, host);
  if (base === null || !isPath(prefix)) return base;
  return base + prefix.replace(/\/$/, '');
}

/** A header's first value: that of the proxy next to the caller. */
function forwarded(headers: Headers, name: string): string {
  return (headers.get(`x-forwarded-${name}`) ?? '').split(',', 1)[0]?.trim() ?? '';
}

function isPath(prefix: string): boolean {
  return prefixPattern.test(prefix) && !/\/\.{1,2}(?:\/|$)/.test(prefix);
}

function baseOf(scheme: 'http' | 'https', host: string): string | null {
  const url = `${scheme}://${host}`;
  return hostPattern.test(host) && URL.canParse(url) ? new URL(url).origin : null;
}
