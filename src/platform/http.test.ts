import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { closeDispatchers, dispatcherFor } from '@/platform/http';
import {
  type ProxyBehaviour,
  type ProxyOptions,
  startProxy,
  startTls,
  type TestProxy,
} from '../../e2e/support/proxies';

const CONNECT_MS = 300;

/** Answers `/slow` bit by bit, for as long as the test wants; all else at once. */
const upstream = http.createServer((request, response) => {
  if (request.url === '/slow') response.write('begin');
  else response.end('hello');
  slow = response;
});
let slow: http.ServerResponse;
let upstreamUrl = '';

beforeAll(async () => {
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
});

afterAll(() => upstream.close());

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  await closeDispatchers();
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function proxyOf(options: ProxyOptions): Promise<TestProxy> {
  const proxy = await startProxy(options);
  cleanups.push(() => proxy.close());
  return proxy;
}

async function get(proxyUrl: string | null, url = `${upstreamUrl}/`): Promise<string> {
  const { body } = await request(url, { dispatcher: dispatcherFor(proxyUrl, CONNECT_MS) });
  return body.text();
}

const credentials = { user: 'us er', password: 'p@s:s/w%örd' };

describe.each(['http', 'socks5'] as const)('through a proxy of %s', (kind) => {
  it('goes with credentials, by name, and keeps the tunnel', async () => {
    const proxy = await proxyOf({ kind, credentials });
    proxy.leadsTo(upstreamUrl);
    expect(await get(proxy.url, 'http://nowhere.invalid/')).toBe('hello');
    // undici takes a connection as free in the turn after its answer.
    await new Promise(setImmediate);
    expect(await get(proxy.url, 'http://nowhere.invalid/')).toBe('hello');
    expect(proxy.tunnels()).toEqual(['nowhere.invalid:80']);
  });

  it.each<[ProxyBehaviour, string]>([
    ['dead', 'PROXY_UNREACHABLE'],
    ['silent', 'PROXY_UNREACHABLE'],
    ['wants-other-credentials', 'PROXY_AUTH'],
    ['refuses-target', 'PROXY_NO_ROUTE'],
  ])('that is or does "%s" fails in time as %s', async (behaviour, code) => {
    const proxy = await proxyOf({ kind, credentials });
    await proxy.become(behaviour);
    const startedAtMs = Date.now();
    const error = await get(proxy.url).catch((reason) => reason);
    expect(error).toMatchObject({ code });
    expect(Date.now() - startedAtMs).toBeLessThan(CONNECT_MS + 500);
    expect(JSON.stringify([error, error.message, error.stack, error.cause])).not.toMatch(
      /p@s|p%40|us er|127\.0/,
    );
    await proxy.become('works');
    expect(await get(proxy.url)).toBe('hello');
  });

  it('needs the credentials that the proxy wants', async () => {
    const proxy = await proxyOf({ kind, credentials });
    await expect(get(proxy.name)).rejects.toMatchObject({ code: 'PROXY_AUTH' });
    expect(proxy.tunnels()).toEqual([]);
  });

  it('trusts no unknown certificate of the target', async () => {
    const proxy = await proxyOf({ kind });
    const front = await startTls(upstreamUrl);
    cleanups.push(front.close);
    await expect(get(proxy.url, front.url)).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });

  it('is told that the way broke when the target does not speak TLS, or nothing', async () => {
    const proxy = await proxyOf({ kind });
    await expect(get(proxy.url, upstreamUrl.replace('http:', 'https:'))).rejects.toMatchObject({
      code: 'PROXY_NO_ROUTE',
    });
    const silent = await proxyOf({ kind: 'http' });
    await silent.become('silent');
    await expect(get(proxy.url, silent.name.replace('http:', 'https:'))).rejects.toMatchObject({
      code: 'PROXY_NO_ROUTE',
    });
  });
});

it('trusts no unknown certificate of a proxy', async () => {
  const proxy = await proxyOf({ kind: 'https' });
  await expect(get(proxy.url)).rejects.toMatchObject({
    code: 'PROXY_UNREACHABLE',
    message: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT'),
  });
});

it.each(['http', 'socks5'] as const)(
  'a server that is no proxy of %s is not reached',
  async (kind) => {
    const other = await proxyOf({ kind: kind === 'http' ? 'socks5' : 'http' });
    const url = other.url.replace(/^\w+/, kind);
    await expect(get(url)).rejects.toMatchObject({ code: 'PROXY_UNREACHABLE' });
  },
);

it('speaks SOCKS5 under the name socks5h, too', async () => {
  const proxy = await proxyOf({ kind: 'socks5' });
  expect(await get(proxy.url.replace('socks5:', 'socks5h:'))).toBe('hello');
});

it('direct failures keep their codes', async () => {
  const gone = await proxyOf({ kind: 'http' });
  await gone.close();
  await expect(get(null, gone.name)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

it('closes exits beyond a limit, but no answer that is under way', async () => {
  const proxy = await proxyOf({ kind: 'http' });
  const exit = dispatcherFor(proxy.url, CONNECT_MS);
  const { body } = await request(`${upstreamUrl}/slow`, { dispatcher: exit });
  const answer = slow;
  const others = Array.from({ length: 300 }, (_, n) => proxy.url.replace('//', `//user${n}:x@`));
  for (const other of others) expect(await get(other)).toBe('hello');
  // The first ones are closed, as is the one with the answer when that has ended.
  expect(await openConnections()).toBe(1 + 256);
  answer.end(' and end');
  expect(await body.text()).toBe('begin and end');
  await expect.poll(openConnections).toBe(256);
  // Who held it goes on with new connections.
  const again = await request(`${upstreamUrl}/`, { dispatcher: exit });
  expect(await again.body.text()).toBe('hello');
});

function openConnections(): Promise<number> {
  return new Promise((resolve, reject) =>
    upstream.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}
