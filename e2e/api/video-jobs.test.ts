import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makePng } from '../stand-in/png';
import { createKey } from '../support/commands';
import { eventually, type Pool, query, startPool } from '../support/pool';

const picture = makePng('start', 8, 8);
const pictureSum = createHash('sha256').update(picture).digest('hex');
const input_reference = { image_url: `data:image/png;base64,${picture.toString('base64')}` };

let pool: Pool;

beforeAll(async () => {
  pool = await startPool({
    accounts: 1,
    settings: { maxConcurrentPerAccount: 1, queueWaitMs: 100 },
  });
}, 120_000);
afterAll(() => pool.close());
beforeEach(() => pool.standIn.reset());

const statusOf = async (id: string) => (await pool.client.videos.retrieve(id)).status;
/** What is on disk for requests and jobs alone. */
const temporaries = () => {
  const folder = path.join(pool.server.dataDir, 'files');
  return fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => /\.part$/.test(name)) : [];
};
const rows = () => query(pool.server.dataDir, { sql: 'SELECT "id" FROM "VideoJob"', args: [] });

async function create(body: object): Promise<string> {
  const response = await pool.call('/v1/videos', body);
  expect(response.status).toBe(200);
  return (await response.json()).id;
}

/** Takes the only account, until it is deleted. */
async function hold(): Promise<string> {
  const id = await create({ prompt: '[[hang]]' });
  await eventually(() => pool.standIn.openStreams === 1);
  expect(await statusOf(id)).toBe('in_progress');
  return id;
}

describe('while all accounts are busy, jobs', () => {
  it('wait beyond the patience of a request, and hold what they need on disk', async () => {
    const holder = await hold();
    const waiting = [
      await create({ prompt: 'Go on', input_reference }),
      await create({ prompt: 'Another' }),
    ];
    // Both have been refused by the pool meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const id of waiting) {
      expect(await pool.client.videos.retrieve(id)).toMatchObject({
        status: 'queued',
        progress: 0,
      });
    }
    expect(temporaries()).toHaveLength(1);
    await pool.client.videos.delete(holder);
    await eventually(() => pool.standIn.openStreams === 0);
    for (const id of waiting)
      await eventually(async () => (await statusOf(id)) === 'completed', 60_000);
    const files = pool.standIn.files.all.filter(({ origin }) => origin === 'USER_UPLOADED');
    expect(files).toMatchObject([{ sha256: pictureSum, fileName: 'image.png' }]);
    await eventually(() => temporaries().length === 0);
    expect(pool.standIn.concurrency('demo-1').peak).toBe(1);
  }, 90_000);

  it('can be given up, with all that they have', async () => {
    const holder = await hold();
    const asked = pool.standIn.counts('demo-1').streamAssist;
    const id = await create({ prompt: 'Go on', input_reference });
    const form = await pool.client.videos.create({
      prompt: 'Go on',
      input_reference: await toFile(picture, 'start.png', { type: 'image/png' }),
    });
    expect(temporaries()).toHaveLength(2);
    await pool.client.videos.delete(id);
    await pool.client.videos.delete(form.id);
    await eventually(() => temporaries().length === 0);
    await expect(pool.client.videos.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await pool.client.videos.delete(holder);
    await eventually(() => pool.standIn.openStreams === 0);
    expect(pool.standIn.counts('demo-1').streamAssist).toBe(asked);
  }, 60_000);
});

describe('an order', () => {
  it('is refused at once for a model or a file that is not there, and leaves nothing', async () => {
    const before = (await rows()).length;
    const image = await toFile(picture, 'start.png', { type: 'image/png' });
    const unknown = pool.client.videos.create({
      prompt: 'x',
      model: 'sora-9' as 'sora-2',
      input_reference: image,
    });
    await expect(unknown).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    const file = { file_id: 'file-01ARZ3NDEKTSV4RRFFQ69G5FAV' };
    const lost = await pool.call('/v1/videos', { prompt: 'x', input_reference: file });
    expect([lost.status, (await lost.json()).error.param]).toEqual([404, 'input_reference']);
    const long = await pool.call('/v1/videos', { prompt: 'x', model: 'm'.repeat(201) });
    expect([long.status, (await long.json()).error.param]).toEqual([400, 'model']);
    expect(await rows()).toHaveLength(before);
    await eventually(() => temporaries().length === 0);
  });

  it('is refused for a model that the key may not use', async () => {
    const models = ['gemini-image'];
    const key = await createKey(pool.server.dataDir, 'images-only', { models });
    const response = await pool.call(
      '/v1/videos',
      { prompt: 'x' },
      { headers: { authorization: `Bearer ${key}` } },
    );
    expect(response.status).toBe(403);
    expect((await response.json()).error).toMatchObject({ code: 'model_not_allowed' });
  });

  it('keeps its words whole', async () => {
    const id = await create({ prompt: 'a\0b' });
    expect(await pool.client.videos.retrieve(id)).toMatchObject({ prompt: 'a\ufffdb' });
    await pool.client.videos.delete(id);
  });
});

it('a page of the list has 100 jobs at most', async () => {
  expect((await pool.call('/v1/videos?limit=100')).status).toBe(200);
  const response = await pool.call('/v1/videos?limit=101');
  expect([response.status, (await response.json()).error.param]).toEqual([400, 'limit']);
});
