import { createHash } from 'node:crypto';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makePng } from '../stand-in/png';
import { createKey } from '../support/commands';
import { eventually, type Pool, query, startPool } from '../support/pool';
import { startServer } from '../support/server';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const picture = makePng('mine', 8, 8);

let pool: Pool;

beforeAll(async () => {
  pool = await startPool();
}, 120_000);
afterAll(() => pool.close());
beforeEach(() => pool.standIn.reset());

const made = () => pool.standIn.files.all.filter(({ origin }) => origin === 'AI_GENERATED');
const lastTurn = () => pool.standIn.sessions.turns.at(-1);

describe('images.generate', () => {
  it('gives an address by default, and the model may do nothing but draw', async () => {
    const { data, created, usage } = await pool.client.images.generate({ prompt: 'A cat' });
    // At once: the session is soon deleted.
    expect(lastTurn()).toMatchObject({ prompt: 'A cat', modelId: null });
    expect(lastTurn()?.request.toolsSpec).toEqual({ imageGenerationSpec: {} });
    expect(data).toHaveLength(1);
    const response = await fetch(data?.[0]?.url ?? '');
    expect(response.headers.get('content-type')).toBe('image/png');
    expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(made()[0]?.sha256);
    expect(created).toBeGreaterThan(1_000_000_000);
    expect(usage?.total_tokens).toBeGreaterThan(0);
  });

  it('gives the bytes on demand, and n of them', async () => {
    const { data = [] } = await pool.client.images.generate({
      model: 'gemini-2.5-pro',
      prompt: 'Cats',
      n: 3,
      response_format: 'b64_json',
      size: '1024x1024',
    });
    const sums = data.map(({ b64_json = '' }) => sha256(Buffer.from(b64_json, 'base64')));
    expect(sums.sort()).toEqual(
      made()
        .map((file) => file.sha256)
        .sort(),
    );
    expect(data).toHaveLength(3);
    expect(lastTurn()?.modelId).toBe('gemini-2.5-pro');
    expect(lastTurn()?.request.toolsSpec).toEqual({ imageGenerationSpec: {} });
  });

  it('gives what there is when a part of n fails for good, and the log tells', async () => {
    const fault = { on: 'streamAssist', scenario: 'text value=No', times: 1 } as const;
    pool.standIn.setFault('demo-2', fault);
    const answer = pool.client.images.generate({ prompt: 'Cats', n: 3 });
    const { data, response } = await answer.withResponse();
    expect(data.data).toHaveLength(2);
    const requestId = response.headers.get('x-request-id') ?? 'none';
    await eventually(() =>
      pool.server
        .output()
        .split('\n')
        .some(
          (line) => line.includes('a question for one image failed') && line.includes(requestId),
        ),
    );
    // The waits and tries of all three make one row.
    let rows: Record<string, unknown>[] = [];
    await eventually(async () => {
      const sql = 'SELECT "status", "tries" FROM "RequestLog" WHERE "requestId" = ?';
      rows = await query(pool.server.dataDir, { sql, args: [requestId] });
      return rows.length === 1;
    });
    expect(rows[0]).toMatchObject({ status: 200, tries: 3 });
  });

  it('takes several of one answer', async () => {
    const { data } = await pool.client.images.generate({ prompt: '[[image n=4]]', n: 2 });
    expect(data).toHaveLength(2);
  });

  it('is an error if there are words only, which the SDK does not repeat', async () => {
    const client = pool.client.withOptions({ maxRetries: 2 });
    const failure = client.images.generate({ prompt: '[[text value="I will not."]]' });
    await expect(failure).rejects.toMatchObject({
      status: 502,
      code: 'no_image_generated',
      message: expect.stringContaining('I will not.'),
    });
    expect(pool.standIn.sessions.turns).toHaveLength(1);
  });

  it('names what is wrong', async () => {
    const wrong = [
      [{ prompt: '' }, 'prompt'],
      [{ prompt: 'x', n: 11 }, 'n'],
      [{ prompt: 'x', size: 'huge' }, 'size'],
    ] as const;
    for (const [body, param] of wrong) {
      const response = await pool.call('/v1/images/generations', body);
      expect([response.status, (await response.json()).error.param]).toEqual([400, param]);
    }
    const unknown = pool.client.images.generate({ prompt: 'x', model: 'dall-e-9' });
    await expect(unknown).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('goes to another account when one fails', async () => {
    for (const account of ['demo-1', 'demo-2']) {
      pool.standIn.setFault(account, { on: 'streamAssist', scenario: 'http status=500' });
    }
    expect((await pool.client.images.generate({ prompt: 'A cat' })).data).toHaveLength(1);
  });

  it('gives n of them though an account fails', async () => {
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500' });
    expect((await pool.client.images.generate({ prompt: 'Cats', n: 3 })).data).toHaveLength(3);
  });
});

describe('images.edit', () => {
  it('takes pictures as a form', async () => {
    const { data } = await pool.client.images.edit({
      prompt: 'Redder',
      image: [
        await toFile(picture, 'a.png', { type: 'image/png' }),
        await toFile(picture, 'b.png'),
      ],
    });
    expect(data).toHaveLength(1);
    expect(lastTurn()?.files.map((file) => [file.fileName, file.sha256])).toEqual([
      ['a.png', sha256(picture)],
      ['b.png', sha256(picture)],
    ]);
    const one = await toFile(picture, 'a.png', { type: 'image/png' });
    const mask = await toFile(picture, 'any.png', { type: 'image/png' });
    await pool.client.images.edit({ prompt: 'Redder', image: one, mask, n: 1 });
    expect(lastTurn()?.files.map(({ fileName }) => fileName)).toEqual(['mask.png', 'a.png']);
    expect(lastTurn()?.prompt).toMatch(/mask.*Redder$/s);
  });

  it('takes them as JSON, by file id and as a data URL', async () => {
    const { id } = await pool.client.files.create({
      file: await toFile(picture, 'mine.png'),
      purpose: 'vision',
    });
    const images = [
      { file_id: id },
      { image_url: `data:image/png;base64,${makePng('two', 4, 4).toString('base64')}` },
    ];
    const response = await pool.call('/v1/images/edits', { prompt: 'Redder', images });
    expect(response.status).toBe(200);
    expect(lastTurn()?.files).toMatchObject([{ sha256: sha256(picture) }, {}]);
  });

  it('calls the mask what the model is told, whatever the files are called', async () => {
    const upload = async (name: string) => {
      const file = await toFile(makePng(name, 4, 4), name);
      return (await pool.client.files.create({ file, purpose: 'vision' })).id;
    };
    const [maskId, imageId] = [await upload('outline.png'), await upload('mask.png')];
    const body = { prompt: 'Redder', images: [{ file_id: imageId }], mask: { file_id: maskId } };
    expect((await pool.call('/v1/images/edits', body)).status).toBe(200);
    const sums = ['outline.png', 'mask.png'].map((name) => sha256(makePng(name, 4, 4)));
    expect(lastTurn()?.files).toMatchObject([
      { fileName: 'mask.png', sha256: sums[0] },
      { fileName: 'mask-2.png', sha256: sums[1] },
    ]);
    expect(lastTurn()?.prompt).toMatch(/mask\.png is a mask.*Redder$/s);

    const image = await toFile(picture, 'mask.png', { type: 'image/png' });
    const mask = await toFile(makePng('mask', 4, 4), 'mask.png', { type: 'image/png' });
    await pool.client.images.edit({ prompt: 'Redder', image, mask });
    expect(lastTurn()?.files).toMatchObject([
      { fileName: 'mask.png', sha256: sha256(makePng('mask', 4, 4)) },
      { fileName: 'mask-2.png', sha256: sha256(picture) },
    ]);
  });

  it('takes no picture for a mask that was not sent as one', async () => {
    const image = await toFile(picture, 'mask.png', { type: 'image/png' });
    await pool.client.images.edit({ prompt: 'Redder', image });
    expect(lastTurn()).toMatchObject({ prompt: expect.not.stringContaining('is a mask') });
    expect(lastTurn()?.files.map(({ fileName }) => fileName)).toEqual(['mask.png']);
  });

  it('refuses the 17th picture, however the fields are called', async () => {
    const form = new FormData();
    form.set('prompt', 'Redder');
    const blob = new Blob([new Uint8Array(picture)], { type: 'image/png' });
    for (let number = 0; number < 17; number += 1) {
      form.append(number < 9 ? 'image' : 'image[]', blob, `${number}.png`);
    }
    const response = await pool.call('/v1/images/edits', undefined, { method: 'POST', body: form });
    expect([response.status, (await response.json()).error.param]).toEqual([400, 'image']);
    expect(pool.standIn.sessions.turns).toHaveLength(0);
  });

  it('needs a picture', async () => {
    const form = new FormData();
    form.set('prompt', 'Redder');
    const init = { method: 'POST', body: form };
    const response = await pool.call('/v1/images/edits', undefined, init);
    expect([response.status, (await response.json()).error.param]).toEqual([400, 'image']);
  });
});

describe('videos', () => {
  const finished = async (client: OpenAI, id: string) => {
    let job = await client.videos.retrieve(id);
    await eventually(async () => {
      job = await client.videos.retrieve(id);
      return job.status === 'completed' || job.status === 'failed';
    }, 30_000);
    return job;
  };

  it('are jobs: created, watched, downloaded, deleted', async () => {
    const job = await pool.client.videos.create({ prompt: 'A cat walks', seconds: '4' });
    expect(job).toMatchObject({
      object: 'video',
      model: 'gemini-video',
      prompt: 'A cat walks',
      seconds: '4',
      size: '1280x720',
      completed_at: null,
      error: null,
    });
    expect(['queued', 'in_progress']).toContain(job.status);
    const done = await finished(pool.client, job.id);
    expect(done).toMatchObject({ status: 'completed', progress: 100 });
    expect(done.completed_at).toBeGreaterThan(0);
    const content = await pool.client.videos.downloadContent(job.id);
    expect(content.headers.get('content-type')).toBe('video/mp4');
    expect(sha256(Buffer.from(await content.arrayBuffer()))).toBe(made()[0]?.sha256);
    const part = await pool.call(`/v1/videos/${job.id}/content`, undefined, {
      headers: { range: 'bytes=0-9' },
    });
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 10]);
    expect(await pool.client.videos.delete(job.id)).toEqual({
      id: job.id,
      object: 'video.deleted',
      deleted: true,
    });
    await expect(pool.client.videos.retrieve(job.id)).rejects.toMatchObject({ status: 404 });
  }, 60_000);

  it('may begin with a picture', async () => {
    const input_reference = await toFile(picture, 'start.png', { type: 'image/png' });
    const { id } = await pool.client.videos.create({ prompt: 'Go on', input_reference });
    expect(await finished(pool.client, id)).toMatchObject({ status: 'completed' });
    expect(lastTurn()?.files).toMatchObject([{ sha256: sha256(picture), fileName: 'start.png' }]);
  }, 60_000);

  it('fail with a code and words, and have no content then', async () => {
    const { id } = await pool.client.videos.create({ prompt: '[[text value="No."]]' });
    const job = await finished(pool.client, id);
    expect(job).toMatchObject({ status: 'failed', error: { code: 'no_video_generated' } });
    await expect(pool.client.videos.downloadContent(id)).rejects.toMatchObject({ status: 404 });
  }, 60_000);

  it('are listed by pages, newest first, each key its own', async () => {
    const client = new OpenAI({
      baseURL: `${pool.server.url}/v1`,
      apiKey: await createKey(pool.server.dataDir, 'videos'),
      maxRetries: 0,
    });
    const ids: string[] = [];
    for (let number = 0; number < 3; number += 1) {
      ids.unshift((await client.videos.create({ prompt: `Video ${number}` })).id);
    }
    const listed: string[] = [];
    for await (const { id } of client.videos.list({ limit: 2 })) listed.push(id);
    expect(listed).toEqual(ids);
    await expect(pool.client.videos.retrieve(ids[0] ?? '')).rejects.toMatchObject({ status: 404 });
    for (const id of ids) await finished(client, id);
  }, 60_000);

  it('have a row in the request log when they are over', async () => {
    let rows: Record<string, unknown>[] = [];
    await eventually(async () => {
      rows = await query(pool.server.dataDir, {
        sql: `SELECT "status", "tries" FROM "RequestLog" WHERE "endpoint" LIKE '/v1/videos%' ORDER BY "id"`,
        args: [],
      });
      return rows.length >= 6;
    });
    expect(rows[0]).toMatchObject({ status: 200, tries: 1 });
  });

  it('are given up when the server stops, and told so', async () => {
    const own = await startPool({ accounts: 1 });
    try {
      const { id } = await own.client.videos.create({ prompt: '[[hang]]' });
      await eventually(() => own.standIn.openStreams === 1);
      await own.server.kill();
      const again = await startServer({ dataDir: own.server.dataDir, standInUrl: own.standIn.url });
      const client = own.client.withOptions({ baseURL: `${again.url}/v1` });
      expect(await client.videos.retrieve(id)).toMatchObject({
        status: 'failed',
        error: { code: 'server_stopped' },
      });
      const { id: second } = await client.videos.create({ prompt: '[[hang]]' });
      await eventually(() => own.standIn.openStreams === 1);
      await again.stop();
      expect(own.standIn.openStreams).toBe(0);
      const [row] = await query(own.server.dataDir, {
        sql: 'SELECT "status", "errorCode" FROM "VideoJob" WHERE "id" = ?',
        args: [second],
      });
      expect(row).toMatchObject({ status: 'failed', errorCode: 'server_stopped' });
    } finally {
      await own.close();
    }
  }, 60_000);
});

it('the models that only draw or film are listed, and chat with them draws', async () => {
  const ids = (await pool.client.models.list()).data.map(({ id }) => id);
  expect(ids.slice(-2)).toEqual(['gemini-image', 'gemini-video']);
  const { choices } = await pool.client.chat.completions.create({
    model: 'gemini-image',
    messages: [{ role: 'user', content: 'A cat' }],
  });
  expect(choices[0]?.message.content).toMatch(/!\[image\]\(/);
});
