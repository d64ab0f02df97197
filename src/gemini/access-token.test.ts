import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mintAccessToken, signAccessToken } from './access-token';
import type { Cookies } from './cookies';
import { flavourOf } from './endpoints';

const business = {
  appUrl: 'https://business.gemini.google',
  authUrl: 'https://auth.business.gemini.google',
  apiUrl: 'https://biz-discoveryengine.googleapis.com',
  verifyUrl: 'https://accountverification.business.gemini.google',
};

const xsrfToken = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8';
const keyBody = `)]}'\n${JSON.stringify({ xsrfToken, keyId: 'key-1' })}`;

test('signs the vector of protocol 5', async () => {
  const token = await signAccessToken({
    keyId: 'key-1',
    xsrfToken,
    csesidx: '1234567890',
    flavour: flavourOf(business),
    nowMs: 1_750_000_000_999,
  });
  expect(token).toBe(
    'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtleS0xIn0.eyJpc3MiOiJodHRwczovL2J1c2luZXNzLmdlbWluaS5nb29nbGUiLCJhdWQiOiJodHRwczovL2Jpei1kaXNjb3ZlcnllbmdpbmUuZ29vZ2xlYXBpcy5jb20iLCJzdWIiOiJjc2VzaWR4LzEyMzQ1Njc4OTAiLCJpYXQiOjE3NTAwMDAwMDAsImV4cCI6MTc1MDAwMDMwMCwibmJmIjoxNzUwMDAwMDAwfQ.LrgrixaMAqK4EcIk20VpgK4FVKi-dG1J70j5ofHdbmI',
  );
});

test('the flavour is Enterprise for its own hosts and Business for all others', () => {
  const enterprise = {
    ...business,
    appUrl: 'https://vertexaisearch.cloud.google',
    apiUrl: 'https://content-discoveryengine.googleapis.com',
  };
  expect(flavourOf(enterprise)).toEqual({
    issuer: enterprise.appUrl,
    audience: enterprise.apiUrl,
    origin: enterprise.appUrl,
  });
  const local = { ...business, appUrl: 'http://127.0.0.1:1', apiUrl: 'http://127.0.0.1:2' };
  expect(flavourOf(local).issuer).toBe(business.appUrl);
});

interface Answer {
  status?: number;
  headers?: Record<string, string | string[]>;
  body?: string;
}
type Route = (request: http.IncomingMessage) => Answer | null;

describe('minting', () => {
  let server: http.Server;
  let foreign: http.Server;
  let agent: Agent;
  let base: string;
  let foreignBase: string;
  let routes: Record<string, Route>;
  let asked: { path: string; cookie: string | undefined; referer: string | undefined }[];
  let foreignCalls: number;

  beforeEach(async () => {
    routes = {};
    asked = [];
    foreignCalls = 0;
    server = http.createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const { cookie, referer } = request.headers;
      asked.push({ path: request.url ?? '', cookie, referer });
      const answer = routes[path]?.(request);
      if (answer === null) return;
      response.writeHead(answer?.status ?? 200, answer?.headers).end(answer?.body);
    });
    foreign = http.createServer((_request, response) => {
      foreignCalls++;
      response.end(keyBody);
    });
    agent = new Agent();
    base = await listen(server);
    foreignBase = await listen(foreign);
  });

  afterEach(async () => {
    await agent.destroy();
    for (const each of [server, foreign]) {
      each.closeAllConnections();
      each.close();
    }
  });

  const cookies: Cookies = { secureCSes: 'CSE.1', hostCOses: 'COS.1' };

  const otherTimeouts = {
    sessionMs: 1,
    firstContentMs: 1,
    idleMs: 1,
    uploadMs: 1,
    downloadIdleMs: 1,
    downloadMs: 1,
  };

  function mint(options: Partial<Parameters<typeof mintAccessToken>[0]> = {}) {
    const endpoints = { appUrl: base, authUrl: base, apiUrl: base, verifyUrl: base };
    const timeouts = { ...otherTimeouts, keyMs: 5000 };
    return mintAccessToken({
      connection: { endpoints, dispatcher: agent, timeouts },
      cookies,
      csesidx: '42',
      userAgent: 'test',
      nowMs: Date.now(),
      signal: new AbortController().signal,
      ...options,
    });
  }

  const redirect = (location: string, setCookie: string[] = []): Answer => ({
    status: 302,
    headers: { location, 'set-cookie': setCookie },
  });
  const setocookie = (url: string): Answer => ({
    body: `)]}'\n${JSON.stringify({ setocookieUrl: Buffer.from(url).toString('base64url') })}`,
  });
  const claimsOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

  test('asks as the web app does and leaves cookies alone', async () => {
    routes['/auth/getoxsrf'] = () => ({ body: keyBody });
    const nowMs = Date.now();
    const told: Cookies[] = [];
    const minted = await mint({ nowMs, onCookies: (changed) => void told.push(changed) });
    expect(asked).toEqual([
      {
        path: '/auth/getoxsrf?csesidx=42',
        cookie: '__Secure-C_SES=CSE.1; __Host-C_OSES=COS.1',
        referer: 'https://business.gemini.google/',
      },
    ]);
    expect(told).toEqual([]);
    expect(minted.accessToken.expiresAtMs).toBeGreaterThanOrEqual(nowMs + 300_000);
    expect(minted.accessToken.expiresAtMs).toBeLessThan(nowMs + 302_000);
    expect(claimsOf(minted.accessToken.token).sub).toBe('csesidx/42');
  });

  test('leaves an unknown cookie out', async () => {
    routes['/auth/getoxsrf'] = () => ({ body: keyBody });
    await mint({ cookies: { secureCSes: 'CSE.1', hostCOses: null } });
    expect(asked[0]?.cookie).toBe('__Secure-C_SES=CSE.1');
  });

  test('follows the rotation, sends each new cookie on, and tells it at once', async () => {
    routes['/auth/getoxsrf'] = (request) =>
      request.headers.cookie?.includes('COS.2')
        ? { body: keyBody }
        : redirect(`${base}/x/refreshcookies?a=1`);
    routes['/x/refreshcookies'] = () => ({
      ...setocookie(`${base}/auth/setocookie?t=1`),
      headers: { 'set-cookie': '__Secure-C_SES=CSE.2; Max-Age=3600; Secure; HttpOnly' },
    });
    routes['/auth/setocookie'] = () =>
      redirect('getoxsrf?csesidx=42', ['NID=1', '__Host-C_OSES=COS.2; Path=/; Secure']);
    const told: Cookies[] = [];
    let endsAtMs: number | null = null;
    await mint({
      onCookies(changed, expiresAtMs) {
        told.push(changed);
        endsAtMs = expiresAtMs;
      },
    });

    expect(told).toEqual([
      { secureCSes: 'CSE.2', hostCOses: 'COS.1' },
      { secureCSes: 'CSE.2', hostCOses: 'COS.2' },
    ]);
    expect(Number(endsAtMs) - Date.now()).toBeGreaterThan(3_500_000);
    expect(asked.map(({ cookie }) => cookie)).toEqual([
      '__Secure-C_SES=CSE.1; __Host-C_OSES=COS.1',
      '__Secure-C_SES=CSE.1; __Host-C_OSES=COS.1',
      '__Secure-C_SES=CSE.2; __Host-C_OSES=COS.1',
      '__Secure-C_SES=CSE.2; __Host-C_OSES=COS.2',
    ]);
  });

  test('new cookies are told although a later hop fails', async () => {
    routes['/auth/getoxsrf'] = () =>
      redirect('/refreshcookies', ['__Host-C_OSES=COS.2; Expires=Wed, 01 Jan 2098 00:00:00 GMT']);
    routes['/refreshcookies'] = () => ({ status: 503 });
    const told: Cookies[] = [];
    const failed = mint({ onCookies: (changed) => void told.push(changed) });
    await expect(failed).rejects.toMatchObject({ fault: 'upstream', status: 503 });
    expect(told).toEqual([{ secureCSes: 'CSE.1', hostCOses: 'COS.2' }]);
  });

  test('a deleted cookie is dropped, but never the sign-in itself', async () => {
    const deleted = ['__Host-C_OSES=; Max-Age=0', '__Secure-C_SES=x; Max-Age=0'];
    routes['/auth/getoxsrf'] = () => ({ body: keyBody, headers: { 'set-cookie': deleted } });
    const told: Cookies[] = [];
    await mint({ onCookies: (changed) => void told.push(changed) });
    expect(told).toEqual([{ secureCSes: 'CSE.1', hostCOses: null }]);
  });

  test('never carries the cookies to another origin', async () => {
    const forbidden = { fault: 'upstream', reason: 'forbidden_redirect' };
    routes['/auth/getoxsrf'] = () => redirect(`${foreignBase}/refreshcookies`);
    await expect(mint()).rejects.toMatchObject(forbidden);
    routes['/auth/getoxsrf'] = () => setocookie(`${foreignBase}/auth/setocookie`);
    await expect(mint()).rejects.toMatchObject(forbidden);
    expect(foreignCalls).toBe(0);
  });

  test('takes a redirect to the sign-in, and only that, for its end', async () => {
    const over = { fault: 'credential', reason: 'SIGN_IN_REDIRECT' };
    routes['/auth/getoxsrf'] = () => redirect(`${foreignBase}/signin?continue=refreshcookies`);
    await expect(mint()).rejects.toMatchObject(over);
    expect(foreignCalls).toBe(0);
  });

  test('stops after five hops', async () => {
    routes['/auth/getoxsrf'] = () => redirect('/auth/getoxsrf');
    await expect(mint()).rejects.toMatchObject({ fault: 'credential', reason: 'TOO_MANY_HOPS' });
    expect(asked).toHaveLength(6);
  });

  test.each<[string, Answer, object]>([
    [
      'an expired sign-in',
      { status: 401, body: `)]}'\n{"message":"Session has expired.","status":"EXPIRED_SIGN_IN"}` },
      { fault: 'credential', reason: 'EXPIRED_SIGN_IN' },
    ],
    ['a page', { body: '<html>' }, { fault: 'credential', reason: 'NO_KEY' }],
    ['half a key', { body: `)]}'{"keyId":"a"}` }, { fault: 'credential', reason: 'NO_KEY' }],
    [
      'an empty key',
      { body: '{"keyId":"a","xsrfToken":"="}' },
      { fault: 'credential', reason: 'NO_KEY' },
    ],
    ['null', { body: 'null' }, { fault: 'credential', reason: 'NO_KEY' }],
    [
      'too many requests',
      { status: 429, headers: { 'retry-after': '9' } },
      { fault: 'overload', retryAfterMs: 9000 },
    ],
    ['a broken server', { status: 500 }, { fault: 'upstream' }],
    [
      'a body without end',
      { body: 'x'.repeat(1024 * 1024 + 1) },
      { fault: 'upstream', reason: 'reply_too_large' },
    ],
  ])('%s', async (_name, answer, expected) => {
    routes['/auth/getoxsrf'] = () => answer;
    await expect(mint()).rejects.toMatchObject(expected);
  });

  test('signs by the server’s clock when ours is two minutes off', async () => {
    for (const offMs of [-120_000, 120_000]) {
      const serverMs = Date.now() + offMs;
      const date = new Date(serverMs).toUTCString();
      routes['/auth/getoxsrf'] = () => ({ body: keyBody, headers: { date } });
      const minted = await mint();
      expect(claimsOf(minted.accessToken.token).iat).toBe(Math.floor(serverMs / 1000));
      expect(Math.abs(minted.clockSkewMs - offMs)).toBeLessThan(3000);
      const leftMs = minted.accessToken.expiresAtMs - Date.now();
      expect(Math.abs(leftMs - 300_000)).toBeLessThan(2000);
    }
  });

  test('has one time limit over all hops, and can be aborted', async () => {
    routes['/auth/getoxsrf'] = () => null;
    const endpoints = { appUrl: base, authUrl: base, apiUrl: base, verifyUrl: base };
    const timeouts = { ...otherTimeouts, keyMs: 50 };
    const connection = { endpoints, dispatcher: agent, timeouts };
    await expect(mint({ connection })).rejects.toMatchObject({ reason: 'timeout' });
    const signal = AbortSignal.timeout(20);
    await expect(mint({ signal })).rejects.toMatchObject({ fault: 'client_left' });
  });

  test('a refused connection is the egress', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(mint()).rejects.toMatchObject({ fault: 'egress', reason: 'ECONNREFUSED' });
  });
});

async function listen(server: http.Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
