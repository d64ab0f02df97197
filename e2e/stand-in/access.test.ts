import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Accounts, demoAccount, type StandInAccountInit } from './accounts';
import { Clock } from './clock';
import { identify, KeyRing } from './jwt';
import { type StandIn, startStandIn } from './stand-in';
import { guarded, TestClient, type TestKey } from './test-client';

let standIn: StandIn;
let client: TestClient;
let number = 0;

beforeAll(async () => {
  standIn = await startStandIn();
});
beforeEach(() => {
  standIn.reset();
  number += 1;
  client = freshClient({ ...demoAccount(100 + number) });
});
afterAll(() => standIn.close());

function freshClient(account: StandInAccountInit): TestClient {
  standIn.accounts.add(account);
  return new TestClient(standIn, account);
}

function setFault(scenario: string, times?: number): void {
  const fault = { on: 'key' as const, scenario, ...(times === undefined ? {} : { times }) };
  standIn.setFault(client.account.name, fault);
}

describe('signing key', () => {
  test('is fresh every time, and earlier ones stay good', async () => {
    const [first, second] = [await client.key(), await client.key()];
    expect(first.keyId).not.toBe(second.keyId);
    expect(Buffer.from(first.xsrfToken, 'base64url')).toHaveLength(32);
    const reply = await client.call('CreateSession', {}, { bearer: client.sign(first) });
    expect(reply.status).toBe(200);
  });

  test.each([
    ['no cookie', '', 'INVALID_COOKIES'],
    ['a wrong one', '__Secure-C_SES=CSE.wrong', 'EXPIRED_SIGN_IN'],
    ['lower-case names', '__secure-c_ses=CSE.x', 'INVALID_COOKIES'],
  ])('is refused with %s', async (_, cookie, status) => {
    const reply = await client.askKey(cookie);
    expect(reply.status).toBe(401);
    expect(await guarded(reply)).toMatchObject({ status });
  });

  test('needs a right __Host-C_OSES only when it is sent', async () => {
    const secure = `__Secure-C_SES=${client.account.secure_c_ses}`;
    expect((await client.askKey(secure)).status).toBe(200);
    expect((await client.askKey(`${secure}; __Host-C_OSES=None`)).status).toBe(401);
  });

  test('is refused for an unknown csesidx', async () => {
    const address = `${standIn.url}/auth/getoxsrf?csesidx=1`;
    expect((await client.askKey(client.cookies, address)).status).toBe(401);
  });

  test.each([
    ['expired-sign-in', 401, '"status":"EXPIRED_SIGN_IN"'],
    ['invalid-cookies', 401, '"status":"INVALID_COOKIES"'],
    ['http status=403', 403, ")]}'"],
    ['http status=500', 500, ")]}'"],
    ['no-key', 200, 'xsrfToken'],
    ['html', 200, '<!doctype html>'],
  ])('plays %s', async (scenario, status, text) => {
    setFault(scenario, 1);
    const reply = await client.askKey();
    expect(reply.status).toBe(status);
    const body = await reply.text();
    expect(body).toContain(text);
    expect(body).not.toContain('keyId');
    expect((await client.askKey()).status).toBe(200);
  });

  test('plays 429 with and without Retry-After', async () => {
    setFault('http status=429');
    expect((await client.askKey()).headers.get('retry-after')).toBeNull();
    setFault('http status=429 retry-after=7');
    expect((await client.askKey()).headers.get('retry-after')).toBe('7');
  });

  test('plays a reset and a hang', async () => {
    setFault('reset-before', 1);
    await expect(client.askKey()).rejects.toThrow();
    setFault('hang', 1);
    const signal = AbortSignal.timeout(100);
    const asking = fetch(client.keyAddress, { headers: { cookie: client.cookies }, signal });
    await expect(asking).rejects.toThrow();
    await expect.poll(() => standIn.log.at(-1)?.aborted).toBe(true);
    expect(standIn.log.map((entry) => entry.aborted)).toEqual([false, true]);
  });

  test('can renew the cookies with an end', async () => {
    setFault('set-cookie max-age=60');
    const cookies = (await client.askKey()).headers.getSetCookie();
    expect(cookies.map((cookie) => cookie.split('=')[0])).toEqual([
      '__Secure-C_SES',
      '__Host-C_OSES',
    ]);
    expect(cookies.every((cookie) => cookie.endsWith('; Max-Age=60'))).toBe(true);
  });
});

describe('rotation', () => {
  /** Follows the hops up to the answer of the cookie-setting one. */
  async function walk(cookie = client.cookies): Promise<Response> {
    const first = await client.askKey(cookie);
    expect(first.status).toBe(302);
    const location = first.headers.get('location') ?? '';
    expect(location).toContain('refreshcookies');
    const { setocookieUrl } = await guarded<{ setocookieUrl: string }>(
      await client.askKey(cookie, location),
    );
    expect(setocookieUrl).toMatch(/^[\w-]+$/);
    return client.askKey(cookie, Buffer.from(setocookieUrl, 'base64url').toString());
  }

  const newCookie = (reply: Response, name: string) =>
    reply.headers
      .getSetCookie()
      .find((cookie) => cookie.startsWith(name))
      ?.split(';')[0] ?? '';

  test('sets a new cookie and demands it from then on', async () => {
    setFault('rotation');
    const last = await walk();
    expect(last.status).toBe(302);
    const location = last.headers.get('location') ?? '';
    expect((await client.askKey(client.cookies, location)).status).toBe(401);
    const secure = `__Secure-C_SES=${client.account.secure_c_ses}`;
    expect((await client.askKey(secure, location)).status).toBe(401);
    const renewed = `${secure}; ${newCookie(last, '__Host-C_OSES')}`;
    expect(await guarded<TestKey>(await client.askKey(renewed, location))).toHaveProperty('keyId');
    const names = standIn.log.map((entry) => entry.call);
    expect(names).toEqual(['key', 'refreshcookies', 'setocookie', 'key', 'key', 'key']);
  });

  test('is asked for until it is done', async () => {
    setFault('rotation');
    expect((await client.askKey()).status).toBe(302);
    expect((await client.askKey()).status).toBe(302);
  });

  test('can renew both cookies and give the key directly', async () => {
    setFault('rotation secure=1 direct=1');
    const last = await walk();
    expect(await guarded<TestKey>(last.clone())).toHaveProperty('keyId');
    expect((await client.askKey()).status).toBe(401);
    const both = [newCookie(last, '__Secure-C_SES'), newCookie(last, '__Host-C_OSES')].join('; ');
    expect((await client.askKey(both)).status).toBe(200);
  });

  test('is recognised by a stand-in that was started anew', async () => {
    setFault('rotation direct=1');
    const renewed = newCookie(await walk(), '__Host-C_OSES');
    client = freshClient(client.account);
    const cookie = `__Secure-C_SES=${client.account.secure_c_ses}; ${renewed}`;
    expect((await client.askKey(cookie)).status).toBe(200);
    expect((await client.askKey()).status).toBe(401);
  });

  test('can go round for ever', async () => {
    setFault('rotation-loop');
    const renewed = newCookie(await walk(), '__Host-C_OSES');
    await walk(`__Secure-C_SES=${client.account.secure_c_ses}; ${renewed}`);
  });

  test('can lead astray at every hop', async () => {
    setFault('rotation-foreign to=http://127.0.0.9:1');
    expect((await client.askKey()).headers.get('location')).toMatch(
      /^http:\/\/127\.0\.0\.9:1\/auth\/refreshcookies/,
    );
    setFault('rotation-foreign hop=setocookie to=http://127.0.0.9:1');
    await expect(walk()).rejects.toThrow();
    setFault('rotation-foreign hop=key');
    expect((await walk()).headers.get('location')).toMatch(/^https:\/\/foreign\.invalid\//);
  });

  test('can be told from a way to the sign-in page, and from a broken one', async () => {
    setFault('sign-in-redirect', 1);
    expect((await client.askKey()).headers.get('location')).toContain('/login?continueUrl=');
    setFault('rotation-broken');
    const location = (await client.askKey()).headers.get('location') ?? '';
    expect(await guarded(await client.askKey(client.cookies, location))).toEqual({});
  });
});

describe('bearer', () => {
  test.each([
    ['alg is not HS256', { header: { alg: 'none' } }],
    ['typ is not JWT', { header: { typ: undefined } }],
    ['kid is unknown', { header: { kid: 'key-0' } }],
    ['iss is wrong', { claims: { iss: 'https://vertexaisearch.cloud.google' } }],
    ['aud is wrong', { claims: { aud: 'http://127.0.0.1' } }],
    ['kid belongs to another account than sub', { claims: { sub: 'csesidx/1' } }],
    ['not valid yet', { claims: { nbf: Math.floor(Date.now() / 1000) + 60 } }],
    ['expired', { nowMs: Date.now() - 301_000 }],
  ])('is refused when %s', async (refusal, changes) => {
    const bearer = client.sign(await client.key(), changes);
    const reply = await client.call('CreateSession', {}, { bearer });
    expect(reply.status).toBe(401);
    expect(await reply.json()).toMatchObject({ error: { code: 401, status: 'UNAUTHENTICATED' } });
    expect(standIn.log.at(-1)?.refusal).toBe(refusal);
  });

  test('is refused with a wrong signature or none', async () => {
    const key = await client.key();
    const bearer = client.sign({ ...key, xsrfToken: 'AAAA' });
    expect((await client.call('CreateSession', {}, { bearer })).status).toBe(401);
    expect(standIn.log.at(-1)).toMatchObject({
      refusal: 'signature is wrong',
      account: client.account.name,
    });
    const bare = await fetch(`${standIn.url}/v1alpha/locations/global/widgetCreateSession`, {
      method: 'POST',
    });
    expect(bare.status).toBe(401);
    expect(standIn.log.at(-1)?.missingHeaders).toEqual(['content-type', 'origin', 'referer']);
  });

  test('is refused with the key of another account', async () => {
    const key = await new TestClient(standIn, demoAccount(1)).key();
    expect((await client.call('CreateSession', {}, { bearer: client.sign(key) })).status).toBe(401);
  });

  test('is judged by the clock that was set', async () => {
    const bearer = client.sign(await client.key());
    standIn.clock.offsetMs = 290_000;
    expect((await client.call('CreateSession', {}, { bearer })).status).toBe(200);
    standIn.clock.offsetMs = 301_000;
    expect((await client.call('CreateSession', {}, { bearer })).status).toBe(401);
    standIn.clock.offsetMs = -60_000;
    expect((await client.call('CreateSession', {}, { bearer })).status).toBe(401);
  });

  test('agrees with the test vector of the protocol', () => {
    const accounts = new Accounts([{ ...demoAccount(1), csesidx: '1234567890' }]);
    const [account] = accounts.all;
    if (account === undefined) throw new Error('no account');
    const keys = new KeyRing();
    keys.put(
      'key-1',
      account,
      Uint8Array.from({ length: 32 }, (_, index) => index),
    );
    const token = [
      'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtleS0xIn0',
      'eyJpc3MiOiJodHRwczovL2J1c2luZXNzLmdlbWluaS5nb29nbGUiLCJhdWQiOiJodHRwczovL2Jpei1kaXNjb3ZlcnllbmdpbmUuZ29vZ2xlYXBpcy5jb20iLCJzdWIiOiJjc2VzaWR4LzEyMzQ1Njc4OTAiLCJpYXQiOjE3NTAwMDAwMDAsImV4cCI6MTc1MDAwMDMwMCwibmJmIjoxNzUwMDAwMDAwfQ',
      'LrgrixaMAqK4EcIk20VpgK4FVKi-dG1J70j5ofHdbmI',
    ].join('.');
    const judge = (nowMs: number) => identify(`Bearer ${token}`, keys, accounts, nowMs);
    expect(judge(1_750_000_000_000)).toEqual({ account, refusal: null });
    expect(judge(1_750_000_299_999).refusal).toBeNull();
    expect(judge(1_750_000_300_000).refusal).toBe('expired');
    expect(judge(1_749_999_999_999).refusal).toBe('not valid yet');
  });
});

describe('envelope', () => {
  test('with a foreign configId is refused like a bad credential', async () => {
    const envelope = { configId: demoAccount(1).team_id };
    expect((await client.call('CreateSession', {}, { envelope })).status).toBe(401);
    expect(standIn.log.at(-1)?.refusal).toBe('configId is foreign');
  });

  test('without the dash token is an invalid request', async () => {
    const envelope = { additionalParams: {} };
    expect((await client.call('CreateSession', {}, { envelope })).status).toBe(400);
  });
});

test('the clock starts at real time', () => {
  expect(Math.abs(new Clock().now() - Date.now())).toBeLessThan(50);
});
