import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllowances } from '@/platform/address-rules';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
import { closeDispatchers } from '@/platform/http';
import {
  assertPublicUrl,
  fetchPublic,
  guardedLookup,
  isPublicFetchError,
  type PublicFetchError,
  type PublicFetchOptions,
  publicDispatcher,
  type Resolve,
} from '@/platform/public-fetch';

type Answer = (response: http.ServerResponse, request: http.IncomingMessage) => void;

/** What the server does for a path; it answers all else with its path. */
const answers = new Map<string, Answer>();
const seen: http.IncomingMessage[] = [];
const server = http.createServer((request, response) => {
  seen.push(request);
  const answer = answers.get(request.url ?? '');
  if (answer) answer(response, request);
  else response.end(`this is ${request.url}`);
});
let port = 0;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});

afterAll(() => server.close());

beforeEach(() => {
  answers.clear();
  seen.length = 0;
});

afterEach(() => closeDispatchers());

const loopback = parseAllowances('127.0.0.1');
const nothing = parseAllowances('');
/** Every name leads to the server. */
const toServer = resolverOf('127.0.0.1');

function resolverOf(...addresses: string[]): Resolve {
  return async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
}

function get(
  url: string,
  options: Partial<PublicFetchOptions> = {},
  signal: CancelSignal = new Cancellation(),
) {
  const usual = { maxBytes: 1_000, timeoutMs: 20_000, connectMs: 5_000, allowances: loopback };
  return fetchPublic(url, { ...usual, resolve: toServer, ...options }, signal);
}

async function textOf({ content }: { content: AsyncIterable<Uint8Array> }): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

async function failure(promise: Promise<unknown>): Promise<PublicFetchError> {
  const error = await promise.then(
    () => 'no failure',
    (reason) => reason,
  );
  if (!isPublicFetchError(error)) throw error;
  return error;
}

function stopBy(stop: AbortController | Cancellation) {
  const signal: CancelSignal = 'signal' in stop ? stop.signal : stop;
  return { signal, abort: () => stop.abort() };
}

function redirect(to: string, status = 302): Answer {
  // The bytes of UTF-8, as servers send them.
  const location = Buffer.from(to).toString('latin1');
  return (response) => response.writeHead(status, { location, 'set-cookie': 'a=b' }).end();
}

function openConnections(): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
}

describe('fetchPublic', () => {
  it('gives the content with its type, and sends nothing of ours', async () => {
    answers.set('/a/cat.png?size=1', (response) =>
      response.writeHead(200, { 'content-type': 'Image/PNG; q=1' }).end('a picture'),
    );
    const reply = await get(`http://pictures.example:${port}/a/cat.png?size=1#top`);
    expect(reply).toMatchObject({ mimeType: 'image/png' });
    expect(await textOf(reply)).toBe('a picture');
    expect(seen[0]?.method).toBe('GET');
    expect(seen[0]?.headers).toEqual({
      host: `pictures.example:${port}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': 'business-gemini-pool',
      connection: 'close',
    });
    await expect.poll(openConnections).toBe(0);
  });

  it('names no type where nothing does', async () => {
    expect(await get(`http://127.0.0.1:${port}/`)).toMatchObject({ mimeType: null });
  });

  it.each([301, 302, 303, 307, 308])(
    'follows a redirect of %i, without cookies',
    async (status) => {
      answers.set('/a', redirect('猫?c', status));
      const reply = await get(`http://first.example:${port}/a`);
      expect(await textOf(reply)).toBe('this is /%E7%8C%AB?c');
      expect(seen[1]?.headers.cookie).toBeUndefined();
    },
  );

  it('follows five redirects, and no more', async () => {
    for (const n of [1, 2, 3, 4, 5, 6]) answers.set(`/${n}`, redirect(`/${n + 1}`));
    expect(await textOf(await get(`http://127.0.0.1:${port}/2`))).toBe('this is /7');
    expect(await failure(get(`http://127.0.0.1:${port}/1`))).toMatchObject({ reason: 'failed' });
    expect(seen).toHaveLength(12);
  });

  it.each([
    'nonsense',
    '',
    '//host/path',
    'ftp://host/',
    'file:///etc/passwd',
    'data:text/plain,a',
    'gopher://host/',
    'http://',
    'http://user@host/',
    'http://:secret@host/',
  ])('takes no URL like %j, nor a redirect to one', async (url) => {
    expect(await failure(get(url))).toMatchObject({ reason: 'bad_url' });
    if (!/^\w+:/.test(url)) return;
    answers.set('/', redirect(url));
    expect(await failure(get(`http://127.0.0.1:${port}/`))).toMatchObject({ reason: 'bad_url' });
  });

  it.each([
    '127.0.0.1',
    '127.0.0.1.',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0x7f000001',
    '017700000001',
    '127.0.0.1%2e',
    '１２７.0.0.1',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[::1]',
    '[::]',
    '0.0.0.0',
    '0',
    '169.254.169.254',
    'localhost',
    'LOCALHOST.',
    'a.localhost',
  ])('refuses http://%s/, also by redirect', async (host) => {
    const url = `http://${host}:${port}/secret`;
    const refused = { reason: 'private_address' };
    expect(await failure(get(url, { allowances: nothing }))).toMatchObject(refused);
    expect(seen).toHaveLength(0);
    answers.set('/', redirect(url));
    const allowances = parseAllowances('open.example');
    const reply = get(`http://open.example:${port}/`, { allowances });
    expect(await failure(reply)).toMatchObject(refused);
    expect(seen.map(({ url }) => url)).toEqual(['/']);
  });

  it.each([
    ['127.0.0.1'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['10.0.0.1'],
    ['fe80::1%eth0'],
    ['8.8.8.8', '127.0.0.1'],
    ['127.0.0.1', '8.8.8.8'],
    ['2606:4700:4700::1111', 'fd00::1'],
  ])('refuses a name that leads to %s %s, and does not tell where it leads', async (...to) => {
    const reply = get(`http://inner.example:${port}/`, {
      allowances: nothing,
      resolve: resolverOf(...to.filter(Boolean)),
    });
    const { reason, message, cause } = await failure(reply);
    expect(reason).toBe('private_address');
    expect(message).toContain('inner.example');
    expect(message).not.toMatch(/127\.|10\.0|::|8\.8/);
    expect(cause).toBeUndefined();
    expect(seen).toHaveLength(0);
  });

  it('goes to what is allowed alone', async () => {
    const url = `http://127.0.0.1:${port}/`;
    const allowing = (text: string) => ({ allowances: parseAllowances(text) });
    expect(await textOf(await get(url, allowing(`127.0.0.1:${port}`)))).toBe('this is /');
    expect(await failure(get(url, allowing(`127.0.0.1:${port + 1}`)))).toMatchObject({
      reason: 'private_address',
    });
    const named = `http://inner.example:${port}/`;
    expect(await textOf(await get(named, allowing('inner.example')))).toBe('this is /');
    expect(await textOf(await get(named, allowing('127.0.0.0/8')))).toBe('this is /');
    expect(await failure(get(named, allowing('other.example')))).toMatchObject({
      reason: 'private_address',
    });
    const local = `http://localhost:${port}/`;
    expect(await textOf(await get(local, allowing('127.0.0.1')))).toBe('this is /');
  });

  it('connects to the address that it checked, and checks each connection', async () => {
    const asked: string[] = [];
    // Each time another: what is allowed stands for a public address.
    const resolve: Resolve = async (host) => {
      asked.push(host);
      return [{ address: asked.length === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
    };
    const url = `http://rebinding.example:${port}`;
    expect(await textOf(await get(`${url}/once`, { resolve }))).toBe('this is /once');
    expect(asked).toEqual(['rebinding.example']);
    asked.length = 0;
    answers.set('/', redirect('/again'));
    expect(await failure(get(`${url}/`, { resolve }))).toMatchObject({ reason: 'private_address' });
    expect(asked).toHaveLength(2);
    expect(seen.map(({ url }) => url)).toEqual(['/once', '/']);
  });

  it('tells that a name has no address', async () => {
    for (const resolve of [
      resolverOf(),
      () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' })),
    ]) {
      expect(await failure(get('http://nowhere.example/', { resolve }))).toMatchObject({
        reason: 'unresolvable',
        message: expect.stringContaining('nowhere.example leads to no public address.'),
      });
    }
  });

  it.each([204, 304, 400, 404, 500])('takes an answer of 2xx alone: %i', async (status) => {
    answers.set('/', (response) => response.writeHead(status).end());
    const reply = get(`http://127.0.0.1:${port}/`);
    if (status === 204) expect(await textOf(await reply)).toBe('');
    else expect(await failure(reply)).toMatchObject({ reason: 'bad_status' });
  });

  it('takes a redirect to nowhere as a bad status', async () => {
    answers.set('/', (response) => response.writeHead(302).end());
    expect(await failure(get(`http://127.0.0.1:${port}/`))).toMatchObject({
      reason: 'bad_status',
    });
  });

  it('takes no encoding that it did not ask for', async () => {
    answers.set('/', (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end());
    expect(await failure(get(`http://127.0.0.1:${port}/`))).toMatchObject({ reason: 'failed' });
  });

  it('refuses what is announced too large before it comes', async () => {
    answers.set('/', (response) => {
      response.writeHead(200, { 'content-length': 1_001 });
      response.write('a');
    });
    const error = await failure(get(`http://127.0.0.1:${port}/`));
    expect(error).toMatchObject({
      reason: 'too_large',
      message: 'The file at 127.0.0.1 is larger than 1000 bytes.',
    });
    await expect.poll(openConnections).toBe(0);
  });

  it('stops reading what turns out too large', async () => {
    answers.set('/', (response) => {
      const fill = () => {
        while (!response.destroyed && response.write('x'.repeat(400)));
      };
      response.on('drain', fill);
      fill();
    });
    const reply = await get(`http://127.0.0.1:${port}/`);
    let bytes = 0;
    const reading = (async () => {
      for await (const piece of reply.content) bytes += piece.byteLength;
    })();
    expect(await failure(reading)).toMatchObject({ reason: 'too_large' });
    expect(bytes).toBeLessThanOrEqual(1_000);
    await expect.poll(openConnections).toBe(0);
  });

  it('takes what is just as large as allowed', async () => {
    answers.set('/', (response) => response.end('x'.repeat(1_000)));
    expect(await textOf(await get(`http://127.0.0.1:${port}/`))).toHaveLength(1_000);
  });

  it('does not wait for a server that hangs', async () => {
    answers.set('/', () => {});
    const error = await failure(get(`http://127.0.0.1:${port}/`, { timeoutMs: 100 }));
    expect(error).toMatchObject({
      reason: 'timeout',
      message: '127.0.0.1 did not answer in time.',
    });
    await expect.poll(openConnections).toBe(0);
  });

  it('does not wait for a name server that hangs', async () => {
    const reply = get('http://slow.example/', {
      timeoutMs: 100,
      resolve: () => new Promise(() => {}),
    });
    expect(await failure(reply)).toMatchObject({ reason: 'timeout' });
  });

  it('does not wait for a connection that hangs', async () => {
    const reply = get('http://slow.example/', {
      connectMs: 100,
      resolve: () => new Promise(() => {}),
    });
    expect(await failure(reply)).toMatchObject({ reason: 'timeout' });
  });

  it('does not wait for a server that drips', async () => {
    answers.set('/', (response) => {
      const timer = setInterval(() => response.write('.'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const reply = await get(`http://127.0.0.1:${port}/`, { timeoutMs: 200 });
    expect(await failure(textOf(reply))).toMatchObject({ reason: 'timeout' });
    await expect.poll(openConnections).toBe(0);
  });

  it('closes in time what nobody reads', async () => {
    answers.set('/', (response) => response.write('begin'));
    const reply = await get(`http://127.0.0.1:${port}/`, { timeoutMs: 100 });
    await expect.poll(openConnections).toBe(0);
    expect(await failure(textOf(reply))).toMatchObject({ reason: 'timeout' });
  });

  it.each([
    ['an AbortController', () => stopBy(new AbortController())],
    ['a Cancellation', () => stopBy(new Cancellation())],
  ])('ends when nobody waits any more, by %s', async (_kind, make) => {
    const url = `http://127.0.0.1:${port}/`;
    const left = { reason: 'left' };

    const before = make();
    before.abort();
    expect(await failure(get(url, {}, before.signal))).toMatchObject(left);
    expect(seen).toHaveLength(0);

    const waiting = make();
    answers.set('/', () => waiting.abort());
    expect(await failure(get(url, {}, waiting.signal))).toMatchObject(left);

    const reading = make();
    answers.set('/', (response) => response.write('begin'));
    const reply = await get(url, {}, reading.signal);
    const iterator = reply.content[Symbol.asyncIterator]();
    await iterator.next();
    const next = iterator.next();
    reading.abort();
    expect(await failure(next)).toMatchObject(left);
    await expect.poll(openConnections).toBe(0);
  });

  it('frees the connection when its reader leaves, or cancels', async () => {
    answers.set('/', (response) => response.write('begin'));
    for await (const _piece of (await get(`http://127.0.0.1:${port}/`)).content) break;
    await expect.poll(openConnections).toBe(0);
    (await get(`http://127.0.0.1:${port}/`)).cancel();
    await expect.poll(openConnections).toBe(0);
  });

  it('tells of a connection that fails, and not where to', async () => {
    answers.set('/', (response) => response.destroy());
    expect(await failure(get(`http://broken.example:${port}/`))).toMatchObject({
      reason: 'failed',
      message: 'broken.example could not be fetched (UND_ERR_SOCKET).',
    });
    answers.set('/', (response) => {
      response.writeHead(200, { 'content-length': 100 }).write('begin', () => response.destroy());
    });
    const reply = await get(`http://broken.example:${port}/`);
    expect(await failure(textOf(reply))).toMatchObject({ reason: 'failed' });

    const closed = http.createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port: closedPort } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    expect(await failure(get(`http://closed.example:${closedPort}/`))).toMatchObject({
      reason: 'failed',
      message: 'closed.example could not be fetched (ECONNREFUSED).',
    });
  });

  it('trusts no server for https that does not speak it', async () => {
    expect(await failure(get(`https://127.0.0.1:${port}/`))).toMatchObject({ reason: 'failed' });
  });
});

describe('publicDispatcher', () => {
  it('goes where it may alone', async () => {
    const url = `http://127.0.0.1:${port}/upload`;
    const post = (dispatcher: ReturnType<typeof publicDispatcher>, to = url) =>
      request(to, { method: 'POST', body: 'a', dispatcher });
    const guarded = publicDispatcher(nothing, 5_000);
    for (const to of [url, url.replace('127.0.0.1', 'localhost')]) {
      expect(await failure(post(guarded, to))).toMatchObject({ reason: 'private_address' });
    }
    expect(seen).toHaveLength(0);
    const { body } = await post(publicDispatcher(loopback, 5_000));
    expect(await body.text()).toBe('this is /upload');
  });

  it('is closed with the other connections to the outside', async () => {
    const { body } = await request(`http://127.0.0.1:${port}/`, {
      dispatcher: publicDispatcher(loopback, 5_000),
    });
    await body.text();
    expect(await openConnections()).toBe(1);
    await closeDispatchers();
    await expect.poll(openConnections).toBe(0);
  });
});

describe('guardedLookup', () => {
  const address = '8.8.8.8';

  function look(resolve: Resolve, all: boolean): Promise<unknown> {
    const lookup = guardedLookup({ allowances: nothing, resolve }, 80);
    return new Promise((done, reject) =>
      lookup('name.example', { all }, (error, found, family) =>
        error ? reject(error) : done(all ? found : [found, family]),
      ),
    );
  }

  it('gives the addresses that it checked, all or the first', async () => {
    const resolve = resolverOf(address, '2606:4700:4700::1111');
    expect(await look(resolve, true)).toEqual(await resolve('name.example'));
    expect(await look(resolve, false)).toEqual([address, 4]);
  });

  it('checks each answer of a name server that changes its mind', async () => {
    let asked = 0;
    const resolve: Resolve = (host) => {
      asked += 1;
      return resolverOf(asked === 1 ? address : '10.0.0.1')(host);
    };
    expect(await look(resolve, false)).toEqual([address, 4]);
    expect(await failure(look(resolve, false))).toMatchObject({ reason: 'private_address' });
  });

  it("guards the sockets of Node's own agent", async () => {
    const ask = async (lookup: ReturnType<typeof guardedLookup>) => {
      const agent = new http.Agent({ lookup });
      const sent = http.get(`http://store.example:${port}/`, { agent });
      const [response] = await once(sent, 'response');
      response.resume();
      return response.statusCode;
    };
    const guard = { resolve: toServer, allowances: nothing };
    expect(await failure(ask(guardedLookup(guard, port)))).toMatchObject({
      reason: 'private_address',
    });
    const allowances = parseAllowances(`store.example:${port}`);
    expect(await ask(guardedLookup({ ...guard, allowances }, port))).toBe(200);
  });
});

describe('assertPublicUrl', () => {
  it('gives the URL', () => {
    expect(assertPublicUrl('https://img.example.com/upload', nothing).href).toBe(
      'https://img.example.com/upload',
    );
    expect(assertPublicUrl('http://localhost:9000/', loopback).port).toBe('9000');
  });

  it('knows the usual ports', () => {
    const allowances = parseAllowances('10.0.0.1:443');
    expect(assertPublicUrl('https://10.0.0.1/', allowances).host).toBe('10.0.0.1');
    expect(() => assertPublicUrl('http://10.0.0.1/', allowances)).toThrow('no public address');
  });
});
