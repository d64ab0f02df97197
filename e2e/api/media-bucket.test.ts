import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask } from '../support/caller';
import { expectTidy, lastSum, makeMedium, mediaFolder, sumAt } from '../support/media';
import { eventually, type Pool, startPool } from '../support/pool';
import { type S3Server, startS3 } from '../support/s3-server';

const MIB = 1_048_576;
/** Enough for a piece of an upload on a busy machine. */
const TIMEOUT_MS = 5_000;
const ALONE = 'medium is kept on our disk alone';

function poolWith(
  endpoint: string,
  { bucket, accessKeyId, secretAccessKey }: S3Server,
  timeoutMs = TIMEOUT_MS,
) {
  return startPool({
    settings: { s3TimeoutMs: timeoutMs },
    env: {
      S3_ENDPOINT: endpoint,
      S3_BUCKET: bucket,
      S3_ACCESS_KEY_ID: accessKeyId,
      S3_SECRET_ACCESS_KEY: secretAccessKey,
      S3_PREFIX: 'pool/',
      ALLOW_PRIVATE_URLS: new URL(endpoint).host,
    },
  });
}

/** The file behind an address of ours. */
function fileOf({ server }: Pool, address: string): string {
  return path.join(mediaFolder(server.dataDir), new URL(address).pathname);
}

/** Resolves once the bucket has what is behind an address of ours, which is after the answer. */
function inBucket(s3: S3Server, address: string): Promise<void> {
  const object = `${new URL(address).pathname}._S3rver_object.md5`;
  return eventually(() => fs.existsSync(path.join(s3.directory, s3.bucket, 'pool', object)));
}

/** Listens on a free port; @returns its address */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return `http://127.0.0.1:${port}`;
}

/** A way to a server that holds up each connection after so many bytes of its answers. */
function narrowWayTo(endpoint: string, way: { limitBytes: number }): Server {
  return createServer((socket) => {
    const far = connect(Number(new URL(endpoint).port), '127.0.0.1');
    let bytes = 0;
    socket.on('error', () => {}).on('close', () => far.destroy());
    far.on('error', () => {}).on('close', () => socket.destroy());
    socket.pipe(far);
    far.on('data', (piece) => {
      bytes += piece.length;
      if (bytes > way.limitBytes) far.pause();
      else if (!socket.write(piece)) far.pause();
    });
    socket.on('drain', () => far.resume());
  });
}

async function get(address: string, headers: Record<string, string> = {}, method = 'GET') {
  const response = await fetch(address, { method, headers });
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
}

describe('a bucket', () => {
  let s3: S3Server;
  let pool: Pool;

  beforeAll(async () => {
    s3 = await startS3();
    pool = await poolWith(s3.endpoint, s3);
  });
  beforeEach(() => pool.standIn.reset());
  afterAll(async () => {
    await pool?.close();
    await s3?.close();
  });

  /** Has something made that only the bucket has. */
  async function inBucketAlone(order: string): Promise<string> {
    const address = await makeMedium(pool, order);
    expect(address.startsWith(`${pool.server.url}/`)).toBe(true);
    await inBucket(s3, address);
    fs.rmSync(fileOf(pool, address));
    return address;
  }

  it('has all that is made, and gives it where our copy is gone', async () => {
    const address = await inBucketAlone(`video bytes=${20 * MIB}`);
    const { response, bytes } = await get(address);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': String(bytes.length),
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    });
    expect(bytes).toHaveLength(20 * MIB);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(await lastSum(pool));
    for (const [range, start, end] of [
      ['bytes=10-99', 10, 100],
      [`bytes=${19 * MIB}-`, 19 * MIB, 20 * MIB],
      ['bytes=-5', 20 * MIB - 5, 20 * MIB],
    ] as const) {
      const part = await get(address, { range });
      expect(part.response.status).toBe(206);
      expect(part.response.headers.get('content-range')).toBe(
        `bytes ${start}-${end - 1}/${20 * MIB}`,
      );
      expect(part.bytes.equals(bytes.subarray(start, end))).toBe(true);
    }
    expect((await get(address, { range: `bytes=${20 * MIB}-` })).response.status).toBe(416);
    const head = await get(address, {}, 'HEAD');
    expect([head.response.status, head.response.headers.get('content-length')]).toEqual([
      200,
      String(20 * MIB),
    ]);
    const etag = response.headers.get('etag') ?? '';
    expect((await get(address, { 'if-none-match': etag })).response.status).toBe(304);
  });

  it('gives a picture for a thumbnail, and for the next question', async () => {
    const address = await inBucketAlone('image width=800');
    const sum = await lastSum(pool);
    const thumbnail = await get(`${address}?thumbnail`);
    expect(await sharp(thumbnail.bytes).metadata()).toMatchObject({ format: 'webp', width: 320 });
    const image_url = { url: address };
    await pool.client.chat.completions.create({
      model: 'gemini-enterprise',
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url }] }],
    });
    expect(pool.standIn.sessions.turns.at(-1)?.files).toMatchObject([{ sha256: sum }]);
  });

  it('is not read on when the caller leaves', async () => {
    const address = await inBucketAlone(`video bytes=${50 * MIB}`);
    for (let number = 0; number < 5; number += 1) {
      const leave = new AbortController();
      await fetch(address, { signal: leave.signal });
      leave.abort();
    }
    expect((await get(address, { range: 'bytes=0-0' })).response.status).toBe(206);
    expect(pool.server.output()).not.toContain('medium could not be served');
  });

  it('waits for a caller who makes a pause, as a player does', async () => {
    const address = await inBucketAlone(`video bytes=${50 * MIB}`);
    const response = await fetch(address);
    let bytes = 0;
    for await (const piece of response.body ?? []) {
      if (bytes === 0) await sleep(2 * TIMEOUT_MS);
      bytes += piece.length;
    }
    expect(bytes).toBe(50 * MIB);
  });

  it('that has lost it: not there', async () => {
    const address = await inBucketAlone('image');
    const folder = path.join(s3.directory, s3.bucket, 'pool', 'image');
    for (const name of fs.readdirSync(folder)) {
      if (name.startsWith(path.basename(address))) fs.rmSync(path.join(folder, name));
    }
    expect((await get(address)).response.status).toBe(404);
  });
});

describe('a bucket that fails', () => {
  it('in the middle of an answer: the caller sees it', async () => {
    const s3 = await startS3();
    const pool = await poolWith(s3.endpoint, s3);
    try {
      const address = await makeMedium(pool, `video bytes=${50 * MIB}`);
      await inBucket(s3, address);
      fs.rmSync(fileOf(pool, address));
      const response = await fetch(address);
      expect(response.status).toBe(200);
      await s3.close();
      await expect(response.arrayBuffer()).rejects.toThrow();
      await eventually(() => pool.server.output().includes('medium could not be served'));
      const { response: later } = await get(address);
      expect(later.status).toBeGreaterThanOrEqual(500);
      expect((await ask(pool, 'text value=well', { stream: false })).text).toBe('well');
    } finally {
      await pool.close();
    }
  });

  it('to go on in the middle of an answer: the caller sees it', async () => {
    const s3 = await startS3();
    const way = { limitBytes: Number.POSITIVE_INFINITY };
    const narrow = narrowWayTo(s3.endpoint, way);
    const pool = await poolWith(await listen(narrow), s3);
    try {
      const address = await makeMedium(pool, `video bytes=${50 * MIB}`);
      await inBucket(s3, address);
      fs.rmSync(fileOf(pool, address));
      way.limitBytes = 5 * MIB;
      const response = await fetch(address);
      expect(response.status).toBe(200);
      await expect(response.arrayBuffer()).rejects.toThrow();
      await eventually(() => pool.server.output().includes('medium could not be served'));
    } finally {
      await pool.close();
      narrow.close();
      await s3.close();
    }
  });

  it('when something is made: it is on our disk, and the log tells', async () => {
    const s3 = await startS3();
    const pool = await poolWith(s3.endpoint, s3);
    try {
      await s3.close();
      expect(await sumAt(await makeMedium(pool, `video bytes=${20 * MIB}`))).toBe(
        await lastSum(pool),
      );
      await expectTidy(pool);
      await eventually(() => pool.server.output().includes(ALONE), 15_000);
    } finally {
      await pool.close();
    }
  });

  it.each([
    ['never answers', () => {}],
    ['hangs up', (socket: Socket) => socket.destroy()],
  ])('and %s is the same', async (_, onSocket) => {
    const s3 = await startS3();
    const broken = createServer(onSocket);
    const keys = { ...s3, secretAccessKey: 'a-secret-key' };
    const pool = await poolWith(await listen(broken), keys, 1_000);
    try {
      expect(await sumAt(await makeMedium(pool, 'image'))).toBe(await lastSum(pool));
      await eventually(() => pool.server.output().includes(ALONE), 15_000);
      expect(pool.server.output()).not.toContain('a-secret-key');
    } finally {
      await pool.close();
      broken.close();
      await s3.close();
    }
  });

  it('and is not there is the same', async () => {
    const s3 = await startS3();
    const pool = await poolWith(s3.endpoint, { ...s3, bucket: 'no-such-bucket' });
    try {
      expect(await sumAt(await makeMedium(pool, 'image'))).toBe(await lastSum(pool));
      await eventually(() => pool.server.output().includes(ALONE), 15_000);
    } finally {
      await pool.close();
      await s3.close();
    }
  });
});
