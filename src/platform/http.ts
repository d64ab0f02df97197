import { socksDispatcher } from 'fetch-socks';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { processState } from '@/platform/process-state';

const KEEP_ALIVE_MS = 30_000;

function dispatchers(): Map<string, Dispatcher> {
  return processState('dispatchers', () => new Map<string, Dispatcher>());
}

/**
 * The connections to the outside through `proxyUrl` (http, https or socks5, with credentials), or
 * direct when it is null: kept alive, TLS verified, `connectMs` to connect. One per proxy and process.
 */
export function dispatcherFor(proxyUrl: string | null, connectMs: number): Dispatcher {
  const name = `${connectMs} ${proxyUrl ?? 'direct'}`;
  const known = dispatchers().get(name);
  if (known) return known;
  const made = makeDispatcher(proxyUrl, connectMs);
  dispatchers().set(name, made);
  return made;
}

function makeDispatcher(proxyUrl: string | null, connectMs: number): Dispatcher {
  const options = { keepAliveTimeout: KEEP_ALIVE_MS, connect: { timeout: connectMs } };
  if (!proxyUrl) return new Agent(options);
  const url = new URL(proxyUrl);
  if (!url.protocol.startsWith('socks')) {
    return new ProxyAgent({ ...options, uri: proxyUrl, proxyTls: { timeout: connectMs } });
  }
  return socksDispatcher(
    {
      type: 5,
      host: url.hostname,
      port: Number(url.port || 1080),
      ...(url.username && {
        userId: decodeURIComponent(url.username),
        password: decodeURIComponent(url.password),
      }),
    },
    options,
  );
}

/** Closes all connections to the outside. */
export async function closeDispatchers(): Promise<void> {
  const open = [...dispatchers().values()];
  dispatchers().clear();
  await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
}
