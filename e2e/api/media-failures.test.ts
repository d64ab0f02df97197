import fs from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cleanMedia } from '@/features/media/clean-media';
import { closeDatabase } from '@/platform/db';
import { ask } from '../support/caller';
import { expectTidy, lastSum, makeMedium, mediaFiles, mediaFolder, sumAt } from '../support/media';
import { eventually, type Pool, startPool } from '../support/pool';
import { accountRow } from '../support/rows';
import { startServer } from '../support/server';
import { takeRoom } from '../support/short-room';

const MIB = 1_048_576;
const WAIT_MS = 20_000;
/** Of a video that comes as slowly as a real one, for as long as a test needs. */
const LONG_VIDEO = `video bytes=${500 * MIB} slow=20`;

const downloadsOf = ({ standIn }: Pool) => standIn.log.filter(({ call }) => call === 'media');
const partOf = ({ server }: Pool) =>
  mediaFiles(server.dataDir).find((file) => /\.part$/.test(file));

/** Waits until a download is under way, and some of it on disk. */
async function untilUnderWay(pool: Pool): Promise<void> {
  await eventually(() => {
    const part = partOf(pool);
    return part !== undefined && sizeOf(pool, part) > MIB;
  }, WAIT_MS);
}

function sizeOf({ server }: Pool, file: string): number {
  return fs.statSync(path.join(mediaFolder(server.dataDir), file)).size;
}

/** No account is to blame for what was asked so far. */
async function isAllWell(pool: Pool): Promise<boolean> {
  const rows = await Promise.all([1, 2, 3].map((number) => accountRow(pool, number)));
  return rows.every(
    ({ condition, fault, rests }) =>
      condition === 'ok' && fault === null && Object.keys(rests).length === 0,
  );
}

describe('a full disk', () => {
  it('is told, for all that is made, and nothing stays; then it goes on', async (context) => {
    const pool = await startPool();
    const room = takeRoom(mediaFolder(pool.server.dataDir), pool.server.pid);
    try {
      context.skip(room === null, 'neither a mount nor a limit is allowed here');
      const kept = await makeMedium(pool, 'image');
      const full = { type: 'server_error', code: 'storage_full' };
      for (const kind of ['image', 'video', 'inline-image']) {
        const order = `${kind} bytes=${8 * MIB}`;
        const seen = await ask(pool, order, { stream: false });
        expect(seen).toMatchObject({ status: 507, errors: [full] });
        const streamed = await ask(pool, order, { stream: true });
        expect(streamed).toMatchObject({ status: 200, errors: [full], endsInError: true });
      }
      const prompt = `[[image bytes=${8 * MIB}]]`;
      await expect(pool.client.images.generate({ prompt })).rejects.toMatchObject(full);
      const { id } = await pool.client.videos.create({ prompt: `[[video bytes=${8 * MIB}]]` });
      await eventually(async () => {
        const { status, error } = await pool.client.videos.retrieve(id);
        return status === 'failed' && error?.code === 'storage_full';
      }, WAIT_MS);
      await expectTidy(pool);
      expect(mediaFiles(pool.server.dataDir)).toHaveLength(1);
      expect(await isAllWell(pool)).toBe(true);
      expect((await fetch(kept)).status).toBe(200);
      await makeMedium(pool, 'image');
      room?.widen();
      expect(await sumAt(await makeMedium(pool, `video bytes=${8 * MIB}`))).toBe(
        await lastSum(pool),
      );
      await expectTidy(pool);
    } finally {
      await pool.close();
      room?.end();
    }
  });
});

describe('a download', () => {
  let pool: Pool;

  beforeAll(async () => {
    pool = await startPool({ settings: { downloadIdleTimeoutMs: 1_000 } });
  });
  beforeEach(() => pool.standIn.reset());
  afterEach(() => expectTidy(pool));
  afterAll(() => pool.close());

  it('of 50 MB that breaks off three times arrives', async () => {
    const order = `video bytes=${50 * MIB} cut=${20 * MIB} cuts=3`;
    expect(await sumAt(await makeMedium(pool, order))).toBe(await lastSum(pool));
    expect(downloadsOf(pool)).toHaveLength(4);
    expect(await isAllWell(pool)).toBe(true);
  });

  it.each([
    ['breaks off again and again', `cut=${MIB} cuts=1000`],
    ['stands still', 'slow=600000'],
  ])('that %s is a clear error, for which no account rests', async (_, how) => {
    const seen = await ask(pool, `video bytes=${50 * MIB} ${how}`, { stream: true });
    const error = { type: 'server_error', param: null, code: 'upstream_error' };
    expect(seen).toMatchObject({
      text: 'Here is your video.',
      errors: [{ message: expect.any(String), ...error }],
      endsInError: true,
      isDone: false,
    });
    expect(partOf(pool)).toBeUndefined();
    await eventually(() => downloadsOf(pool).every(({ endedAt }) => endedAt !== null));
    expect(await isAllWell(pool)).toBe(true);
  });

  it.each([
    ['streamed', true],
    ['whole', false],
  ])('of 500 MB ends soon when its caller leaves: %s', async (_, stream) => {
    const leave = new AbortController();
    const options = { stream, signal: leave.signal };
    const asked = ask(pool, LONG_VIDEO, options).catch(() => null);
    await untilUnderWay(pool);
    leave.abort();
    await asked;
    await eventually(() => downloadsOf(pool).every(({ aborted }) => aborted), WAIT_MS);
    expect(downloadsOf(pool)).toHaveLength(1);
    await eventually(() => partOf(pool) === undefined);
    expect(await isAllWell(pool)).toBe(true);
  });

  it('ends when its caller leaves before the next try', async () => {
    const leave = new AbortController();
    const options = { stream: false, signal: leave.signal };
    const asked = ask(pool, 'image not-ready=1000', options).catch(() => null);
    const all = () => pool.standIn.log.filter(({ call }) => call === 'downloadFile').length;
    await eventually(() => all() >= 4, WAIT_MS);
    leave.abort();
    await asked;
    await eventually(() => pool.server.output().includes('"client_left"'));
    const made = all();
    await ask(pool, 'silence ms=3000', { stream: false });
    expect(all()).toBe(made);
  });

  it('of a video job ends when the job is deleted', async () => {
    const { id } = await pool.client.videos.create({ prompt: `[[${LONG_VIDEO}]]` });
    await untilUnderWay(pool);
    await pool.client.videos.delete(id);
    await eventually(() => downloadsOf(pool).every(({ aborted }) => aborted), WAIT_MS);
    await eventually(() => partOf(pool) === undefined);
  });

  it('of one of several may fail; all arrive, and once', async () => {
    pool.standIn.setFault('*', { on: 'downloadFile', scenario: 'file cut=1', times: 2 });
    const { text } = await ask(pool, 'image n=4', { stream: false });
    const links = text.match(/https?:\/\/[^\s)]+/g) ?? [];
    const sums = await Promise.all(links.map(sumAt));
    expect(sums).toEqual(pool.standIn.files.all.map(({ sha256 }) => sha256));
  });
});

it('a stop that can not wait for a download tells its caller, and leaves no litter', async () => {
  const pool = await startPool();
  try {
    const asked = ask(pool, LONG_VIDEO, { stream: false });
    await untilUnderWay(pool);
    const stopped = pool.server.stop();
    // The second signal.
    process.kill(pool.server.pid, 'SIGTERM');
    expect(await asked).toMatchObject({ status: 503, errors: [{ code: 'server_shutting_down' }] });
    expect(await stopped).toEqual({ exitCode: 0 });
    await expectTidy(pool);
    expect(mediaFiles(pool.server.dataDir)).toEqual([]);
    await eventually(() => downloadsOf(pool).every(({ aborted }) => aborted));
  } finally {
    await pool.close();
  }
});

it('a crash in a download leaves litter, which goes; rows and files agree again', async () => {
  const pool = await startPool();
  const { dataDir } = pool.server;
  const kept = await makeMedium(pool, 'image');
  const sum = await sumAt(kept);
  const asked = ask(pool, LONG_VIDEO, { stream: false }).catch(() => null);
  await untilUnderWay(pool);
  await pool.server.kill();
  await asked;
  expect(mediaFiles(dataDir)).toHaveLength(2);
  // What a crash between a file and its row, or a hand in the folder, leaves.
  const orphan = `${'0'.repeat(32)}.png`;
  fs.writeFileSync(path.join(mediaFolder(dataDir), 'image', orphan), 'x');

  process.env.DATA_DIR = dataDir;
  process.env.LOG_LEVEL = 'silent';
  const { signal } = new AbortController();
  const none = { unfinished: 0, filesWithoutRow: 0, rowsWithoutFile: 0, failed: 0 };
  expect(await cleanMedia(Date.now(), signal)).toMatchObject(none);
  const inTwoHours = await cleanMedia(Date.now() + 7_200_000, signal);
  expect(inTwoHours).toMatchObject({ ...none, unfinished: 1, filesWithoutRow: 1 });
  await closeDatabase();
  await expectTidy(pool);
  expect(mediaFiles(dataDir)).toHaveLength(1);

  const server = await startServer({ dataDir, standInUrl: pool.standIn.url });
  try {
    expect(await sumAt(kept.replace(pool.server.url, server.url))).toBe(sum);
    const client = pool.client.withOptions({ baseURL: `${server.url}/v1` });
    expect(await makeMedium({ ...pool, server, client }, 'image')).toMatch(server.url);
  } finally {
    await server.kill();
    await pool.close();
  }
});
