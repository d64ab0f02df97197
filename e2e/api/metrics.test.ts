import http from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../support/caller';
import { crashSettings } from '../support/crash';
import { eventually, type Pool, startPool } from '../support/pool';
import type { Way } from '../support/server';

const SECRET = 'the-secret-of-the-administrator';

/** Samples by name and labels. */
type Samples = Record<string, number>;

async function scrape({ server }: Pool): Promise<Samples> {
  const response = await fetch(`${server.url}/metrics`, {
    headers: { authorization: `Bearer ${SECRET}` },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n').filter((line) => /^[a-z]/.test(line));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

/** `fetch` would not let a test set Host. */
async function get({ server }: Pool, headers: Record<string, string>, method = 'GET') {
  const request = http.request(`${server.url}/metrics`, { method, headers });
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject).end();
  });
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

describe('the figures', () => {
  let pool: Pool;
  beforeAll(async () => {
    pool = await startPool({ env: { ADMIN_SECRET_KEY: SECRET }, settings: crashSettings });
  });
  afterAll(() => pool.close());

  const callsOf = (model: string, status: number, stream: boolean) =>
    `gemini_pool_requests_total{endpoint="/v1/chat/completions",model="${model}",status="${status}",stream="${stream}"}`;

  it('count calls, tries, tokens and times', async () => {
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500' });
    await ask(pool, 'thoughts', { stream: true });
    await ask(pool, 'echo', { stream: false });
    await pool.call('/v1/chat/completions', { model: 'nope', messages: [] });
    await pool.call('/v1/chat/completions', {
      model: 'nope',
      messages: [{ role: 'user', content: 'x' }],
    });
    await pool.call('/v1/models/nope');
    await pool.call('/v1/what/ever');
    await pool.call('/v1/models', undefined, { headers: { authorization: '' } });
    const samples = await scrape(pool);
    expect(samples).toMatchObject({
      [callsOf('gemini-enterprise', 200, true)]: 1,
      [callsOf('gemini-enterprise', 200, false)]: 1,
      [callsOf('other', 400, false)]: 1,
      [callsOf('other', 404, false)]: 1,
      'gemini_pool_requests_total{endpoint="/v1/models/{id}",model="",status="404",stream="false"}': 1,
      'gemini_pool_requests_total{endpoint="/v1/models",model="",status="401",stream="false"}': 1,
      'gemini_pool_requests_total{endpoint="other",model="",status="404",stream="false"}': 1,
      'gemini_pool_tries_total{outcome="served"}': 2,
      'gemini_pool_tries_total{outcome="upstream"}': 1,
      gemini_pool_try_first_byte_seconds_count: 2,
      gemini_pool_try_duration_seconds_count: 3,
      gemini_pool_first_byte_seconds_count: 1,
      'gemini_pool_request_duration_seconds_count{endpoint="/v1/chat/completions",stream="true"}': 1,
      gemini_pool_streams_open: 0,
      gemini_pool_queue_length: 0,
    });
    for (const direction of ['prompt', 'completion', 'reasoning']) {
      expect(samples[`gemini_pool_tokens_total{direction="${direction}"}`]).toBeGreaterThan(0);
    }
    expect(samples.process_resident_memory_bytes).toBeGreaterThan(0);
  });

  it('count the streams that are open', async () => {
    const held = ask(pool, 'lockstep id=open n=1', { stream: true });
    await eventually(() => 'open' in pool.standIn.lockstep);
    expect((await scrape(pool)).gemini_pool_streams_open).toBe(1);
    pool.standIn.ackPiece('open');
    await held;
    const leaver = new AbortController();
    const left = ask(pool, 'hang', { stream: true, signal: leaver.signal }).catch(() => null);
    await eventually(async () => (await scrape(pool)).gemini_pool_streams_open === 1);
    leaver.abort();
    await left;
    await eventually(async () => (await scrape(pool)).gemini_pool_streams_open === 0);
  });

  it('tell the states of the accounts, and how many rest', async () => {
    const quota = 'http status=429 reason=QUOTA_EXCEEDED';
    pool.standIn.reset();
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: quota });
    pool.standIn.setFault('demo-2', {
      on: 'streamAssist',
      scenario: 'http status=403 message="Access restricted"',
    });
    await eventually(async () => {
      await ask(pool, 'echo', { stream: false });
      const samples = await scrape(pool);
      const count = (state: string) => samples[`gemini_pool_accounts{state="${state}"}`];
      return count('dead') === 1 && count('resting') === 1;
    });
    expect(await scrape(pool)).toMatchObject({
      'gemini_pool_accounts{state="fresh"}': 1,
      'gemini_pool_accounts{state="resting"}': 1,
      'gemini_pool_accounts_resting{kind="text"}': 1,
      'gemini_pool_accounts_resting{kind="images"}': 1,
    });
  });

  it('name the model also of what came to no answer', async () => {
    const words = { model: 'auto', messages: [{ role: 'user', content: 'x' }], n: 99 };
    expect((await pool.call('/v1/chat/completions', words)).status).toBe(400);
    pool.standIn.setFault('*', { on: 'streamAssist', scenario: 'http status=400' });
    const drawing = { prompt: 'A cat' };
    expect((await pool.call('/v1/images/generations', drawing)).status).toBeGreaterThan(399);
    expect((await pool.call('/v1/videos', { prompt: 'Waves' })).status).toBe(200);
    const count = async (endpoint: string, model: string) =>
      Object.entries(await scrape(pool))
        .filter(([name]) => name.startsWith('gemini_pool_requests_total'))
        .filter(([name]) => name.includes(`endpoint="${endpoint}",model="${model}"`))
        .reduce((sum, [, value]) => sum + value, 0);
    expect(await scrape(pool)).toMatchObject({ [callsOf('gemini-enterprise', 400, false)]: 1 });
    await eventually(async () => (await count('/v1/videos (work)', 'gemini-video')) === 1, 15_000);
    expect(await count('/v1/images/generations', 'gemini-image')).toBe(1);
    expect(await count('/v1/videos', 'gemini-video')).toBe(1);
  });
});

describe('who may read them', () => {
  it.each([
    ['custom', 200],
    ['next', 401],
  ] as [Way, number][])('%s: with a key set, who has it', async (way, onThisMachine) => {
    const pool = await startPool({ way, env: { ADMIN_SECRET_KEY: SECRET }, accounts: 0 });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const elsewhere = { 'x-forwarded-for': '10.0.0.1' };
    expect(await get(pool, { ...elsewhere, ...bearer(SECRET) })).toMatchObject({ status: 200 });
    expect((await get(pool, bearer(SECRET), 'HEAD')).body).toBe('');
    expect(await get(pool, bearer(SECRET), 'POST')).toMatchObject({ status: 405 });
    for (const token of [pool.key, `${SECRET}.`, SECRET.slice(1)]) {
      expect(await get(pool, { ...elsewhere, ...bearer(token) })).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
      });
    }
    expect(await get(pool, { 'x-api-key': SECRET, ...elsewhere })).toMatchObject({ status: 401 });
    const plain = await get(pool, {});
    expect(plain.status).toBe(onThisMachine);
    expect(plain.headers['access-control-allow-origin']).toBeUndefined();
    const chat = await pool.call('/v1/models', undefined, { headers: bearer(SECRET) });
    expect(chat.status).toBe(401);
    await pool.close();
  });

  it('without a key, this machine alone', async () => {
    const pool = await startPool({ accounts: 0 });
    expect(await get(pool, {})).toMatchObject({ status: 200 });
    for (const headers of [{ host: 'evil.example' }, { 'x-forwarded-for': '127.0.0.1' }]) {
      expect(await get(pool, headers)).toMatchObject({ status: 403 });
    }
    await pool.close();
  });
});
