import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { addAbortSignal } from 'node:stream';
import tls from 'node:tls';
import { socksConnector } from 'fetch-socks';
import type { buildConnector } from 'undici';
import { ProxyError } from '@/platform/proxy-error';
import { type ProxyAddress, parseProxyUrl } from '@/platform/proxy-url';

const TCP_PROBE_AFTER_MS = 60_000;

/** Where a tunnel leads. */
interface Target {
  /** Without brackets. */
  host: string;
  port: number;
}

/**
 * How undici connects through a proxy. All of it together has `connectMs`: the connection to the
 * proxy, the tunnel, and TLS in it. undici's own agent for proxies waits minutes for the tunnel, and
 * does not tell the proxy's failures apart. What fails is a `ProxyError`, but for a certificate of
 * the target that is not trusted: that keeps its code.
 */
export function proxyConnector(proxyUrl: string, connectMs: number): buildConnector.connector {
  const proxy = parseProxyUrl(proxyUrl);
  return (options, callback) => {
    const deadline = new AbortController();
    // 0: no limit, as for direct connections.
    const timer = connectMs > 0 ? setTimeout(() => deadline.abort(), connectMs) : undefined;
    connect(proxy, options, connectMs, deadline.signal)
      .finally(() => clearTimeout(timer))
      .then(
        (socket) => callback(null, socket),
        (error) => callback(error, null),
      );
  };
}

async function connect(
  proxy: ProxyAddress,
  { protocol, hostname, port, servername }: buildConnector.Options,
  connectMs: number,
  signal: AbortSignal,
): Promise<net.Socket> {
  const isSecure = protocol === 'https:';
  const target = { host: hostname, port: Number(port) || (isSecure ? 443 : 80) };
  const tunnel =
    proxy.scheme === 'socks5'
      ? await socksTunnel(proxy, target, connectMs)
      : await httpTunnel(proxy, target, signal);
  tunnel.setNoDelay(true).setKeepAlive(true, TCP_PROBE_AFTER_MS);
  return isSecure ? secured(tunnel, hostname, servername ?? '', signal) : tunnel;
}

function httpTunnel(
  proxy: ProxyAddress,
  { host, port }: Target,
  signal: AbortSignal,
): Promise<net.Socket> {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  const { user, password } = proxy;
  const credentials = Buffer.from(`${user}:${password}`).toString('base64');
  return new Promise((resolve, reject) => {
    const { request } = proxy.scheme === 'https' ? https : http;
    request({
      host: proxy.host,
      port: proxy.port,
      // Else it would be taken from the host header.
      servername: net.isIP(proxy.host) ? '' : proxy.host,
      method: 'CONNECT',
      path: authority,
      headers: {
        host: authority,
        connection: 'keep-alive',
        'proxy-connection': 'keep-alive',
        ...((user || password) && { 'proxy-authorization': `Basic ${credentials}` }),
      },
      agent: false,
      signal,
    })
      .once('connect', ({ statusCode = 0 }, socket: net.Socket, head: Buffer) => {
        if (statusCode >= 200 && statusCode < 300) {
          if (head.length > 0) socket.unshift(head);
          resolve(socket);
          return;
        }
        socket.on('error', () => {}).destroy();
        reject(refusedTunnel(statusCode));
      })
      .on('error', (error) =>
        reject(unreachable(signal.aborted ? 'no answer in time' : wordOf(error))),
      )
      .end();
  });
}

function refusedTunnel(status: number): ProxyError {
  return status === 407 || status === 401
    ? new ProxyError('PROXY_AUTH', `The proxy does not take the credentials (HTTP ${status})`)
    : new ProxyError(
        'PROXY_NO_ROUTE',
        `The proxy refuses the way to the upstream (HTTP ${status})`,
      );
}

function socksTunnel(
  { host, port, user, password }: ProxyAddress,
  target: Target,
  connectMs: number,
): Promise<net.Socket> {
  const proxy = { type: 5 as const, host, port, userId: user, password };
  const connectSocks = socksConnector(proxy, { timeout: connectMs });
  return new Promise((resolve, reject) => {
    // As if for plain HTTP: TLS is ours to begin, within the same time.
    const options = { protocol: 'http:', hostname: target.host, port: String(target.port) };
    connectSocks(options, (error, socket) => {
      if (socket) resolve(socket);
      else reject(socksFailure(error?.message ?? ''));
    });
  });
}

/** The library has words alone to tell its failures apart. */
function socksFailure(message: string): ProxyError {
  if (/authentication/i.test(message)) {
    return new ProxyError('PROXY_AUTH', 'The proxy does not take the credentials (SOCKS5)');
  }
  const refusal = /rejected connection(?: - (\w+))?/.exec(message);
  if (refusal) {
    const why = refusal[1] ?? 'no reason';
    return new ProxyError('PROXY_NO_ROUTE', `The proxy refuses the way to the upstream (${why})`);
  }
  if (/timed out/.test(message)) return unreachable('no answer in time');
  return unreachable(/\bE[A-Z_]{4,}\b/.exec(message)?.[0] ?? 'no SOCKS5 proxy answers');
}

function secured(
  tunnel: net.Socket,
  host: string,
  servername: string,
  signal: AbortSignal,
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ socket: tunnel, host, servername, ALPNProtocols: ['http/1.1'] });
    const fail = (error: Error) => {
      if (socket.authorizationError) return reject(error);
      const word = signal.aborted ? 'no answer in time' : wordOf(error);
      const message = `The proxy's way to the upstream broke before TLS stood (${word})`;
      reject(new ProxyError('PROXY_NO_ROUTE', message));
    };
    addAbortSignal(signal, socket)
      .once('error', fail)
      .once('secureConnect', () => {
        socket.off('error', fail);
        resolve(socket);
      });
  });
}

function unreachable(why: string): ProxyError {
  return new ProxyError('PROXY_UNREACHABLE', `The proxy can't be reached (${why})`);
}

function wordOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
