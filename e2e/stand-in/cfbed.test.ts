import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Cfbed, startCfbed } from './cfbed';

let bed: Cfbed;

beforeAll(async () => {
  bed = await startCfbed();
});
beforeEach(() => {
  bed.fault = 'none';
  bed.uploads.length = 0;
});
afterAll(() => bed.close());

const bytes = randomBytes(300_000);

function upload(query: string, signal: AbortSignal | null = null): Promise<Response> {
  const body = new FormData();
  body.append('file', new Blob([bytes], { type: 'image/png' }), 'ä.png');
  return fetch(`${bed.endpoint}?${query}`, { method: 'POST', body, signal });
}

test('takes a file', async () => {
  const query = { authCode: bed.token, uploadChannel: 'cfr2', uploadFolder: 'a/b' };
  const reply = await upload(String(new URLSearchParams(query)));
  expect(await reply.json()).toEqual([{ src: expect.stringMatching(/^\/file\/\w+_%C3%A4\.png$/) }]);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect(bed.uploads).toEqual([
    { name: 'ä.png', type: 'image/png', bytes: bytes.length, sha256, query },
  ]);
  const full = await upload(`authCode=${bed.token}&returnFormat=full`);
  expect(await full.json()).toEqual([{ src: expect.stringMatching(`^${bed.url}/file/`) }]);
});

test('refuses a wrong token, and a body that is no form', async () => {
  expect((await upload('authCode=wrong')).status).toBe(401);
  const init = { method: 'POST', body: 'x' };
  expect((await fetch(`${bed.endpoint}?authCode=${bed.token}`, init)).status).toBe(400);
  expect(bed.uploads).toEqual([]);
});

test('fails as ordered', async () => {
  bed.fault = '500';
  expect((await upload(`authCode=${bed.token}`)).status).toBe(500);
  bed.fault = 'html';
  const page = await upload(`authCode=${bed.token}`);
  expect([page.status, page.headers.get('content-type')]).toEqual([
    200,
    'text/html; charset=utf-8',
  ]);
  bed.fault = 'hang';
  await expect(upload(`authCode=${bed.token}`, AbortSignal.timeout(500))).rejects.toThrow();
  expect(bed.uploads).toEqual([]);
});
