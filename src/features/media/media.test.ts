import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { testBucket } from '@/features/media/bucket';
import { bucketUploadsDone } from '@/features/media/bucket-uploads';
import { publicAddress, testCfbed } from '@/features/media/cfbed';
import {
  deleteMedia,
  findMedia,
  listMedia,
  type Media,
  mediaUrl,
  saveMedia,
} from '@/features/media/media';
import { mediaFile, mediaFolder, thumbnailFile } from '@/features/media/media-folder';
import { openMedia } from '@/features/media/open-media';
import { thumbnailOf } from '@/features/media/thumbnail';
import { openDataFolder } from '@/features/settings/data-folder';
import { resetSettings, updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { Cancellation } from '@/platform/cancellation';
import { closeDatabase, query } from '@/platform/db';
import { closeDispatchers } from '@/platform/http';
import { flushWriteBehind } from '@/platform/write-behind';
import { type Cfbed, startCfbed } from '../../../e2e/stand-in/cfbed';
import { newDataFolder } from '../../../e2e/support/data-folder';
import { type S3Server, startS3 } from '../../../e2e/support/s3-server';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';
process.env.ALLOW_PRIVATE_URLS = '127.0.0.1';

beforeAll(openDataFolder);
afterEach(() => query((db) => db.media.deleteMany()));
afterAll(async () => {
  stopCachedTables();
  await closeDispatchers();
  await closeDatabase();
});

const signal = new Cancellation();
const origin = { declaredType: null, modelId: 'model', accountId: 'account', apiKeyId: 'key' };
const canvas = () =>
  sharp({ create: { width: 640, height: 320, channels: 3, background: '#3a7' } });
const MP4 = Buffer.concat([
  Buffer.from('0000001866747970', 'hex'),
  Buffer.from('isom\0\0\x02\0isommp41', 'latin1'),
  Buffer.from('0000000866726565', 'hex'),
]);

async function* inPieces(content: Buffer, bytes = 1_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += bytes) yield content.subarray(at, at + bytes);
}

async function save(content: Buffer, more: Partial<typeof origin> = {}): Promise<Media> {
  return saveMedia(inPieces(content), { ...origin, ...more }, signal);
}

const leftovers = () =>
  readdirSync(mediaFolder(), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name);

describe('what comes in', () => {
  it.each([
    ['png', 'image/png', () => canvas().png().toBuffer()],
    ['jpg', 'image/jpeg', () => canvas().jpeg().toBuffer()],
    ['gif', 'image/gif', () => canvas().gif().toBuffer()],
    ['webp', 'image/webp', () => canvas().webp().toBuffer()],
    ['avif', 'image/avif', () => canvas().avif().toBuffer()],
  ])('is a %s by its content, whatever was declared', async (extension, mimeType, make) => {
    const content = await make();
    const media = await save(content, { declaredType: null });
    expect(media).toMatchObject({ kind: 'image', mimeType, bytes: content.length });
    expect(media.name).toMatch(new RegExp(`^[0-9a-f]{32}\\.${extension}$`));
    expect(readFileSync(mediaFile('image', media.name))).toEqual(content);
    expect(mediaUrl(media, 'https://pool.test')).toBe(`https://pool.test/image/${media.name}`);
  });

  it.each([
    ['mp4', 'video/mp4', MP4],
    [
      'mov',
      'video/quicktime',
      Buffer.from(MP4.toString('latin1').replace('isom', 'qt  '), 'latin1'),
    ],
    ['webm', 'video/webm', Buffer.from('1a45dfa3874282847765626d', 'hex')],
  ])('is a %s', async (extension, mimeType, content) => {
    const media = await save(content);
    expect(media).toMatchObject({ kind: 'video', mimeType });
    expect(media.name).toMatch(new RegExp(`\\.${extension}$`));
    expect(mediaUrl(media, 'http://h')).toBe(`http://h/video/${media.name}`);
  });

  it('that is neither is refused, and nothing of it stays', async () => {
    const before = leftovers();
    const hostile = [
      Buffer.from('<!doctype html><script>alert(1)</script>'),
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      Buffer.from('%PDF-1.7'),
      Buffer.from(''),
      Buffer.from('1a45dfa3ffffffffffffffff', 'hex'),
      randomBytes(5_000),
    ];
    for (const content of hostile) {
      await expect(save(content)).rejects.toMatchObject({
        code: 'upstream_error',
        detail: 'unfit_media',
      });
    }
    expect(leftovers()).toEqual(before);
    expect((await listMedia({ limit: 10 })).items).toEqual([]);
  });

  it('that breaks off is given up, and nothing of it stays', async () => {
    const before = leftovers();
    async function* broken(): AsyncGenerator<Buffer> {
      yield MP4;
      throw new Error('cut');
    }
    await expect(saveMedia(broken(), origin, signal)).rejects.toThrow('cut');
    expect(leftovers()).toEqual(before);
  });

  it('that is too large is the upstream’s failure, not the caller’s', async () => {
    await updateSettings({ maxMediaBytes: 1_024 });
    await expect(save(Buffer.concat([MP4, randomBytes(2_000)]))).rejects.toMatchObject({
      code: 'upstream_error',
    });
    await resetSettings(['maxMediaBytes']);
  });
});

describe('by its name', () => {
  it('is found by its kind and name alone, which notes the use', async () => {
    const media = await save(MP4);
    await query((db) => db.media.updateMany({ data: { lastUsedAt: new Date(0) } }));
    expect(await findMedia('image', media.name)).toBeNull();
    expect(await findMedia('video', media.name)).toMatchObject({ id: media.id });
    await flushWriteBehind();
    const [used] = (await listMedia({ limit: 1 })).items;
    expect(used?.lastUsedAtMs).toBeGreaterThanOrEqual(media.createdAtMs);
    const wrong = [
      '',
      '..',
      `../video/${media.name}`,
      `${media.name}\0`,
      `${media.name}\n`,
      media.name.toUpperCase(),
      media.name.slice(1),
      `${media.name}/`,
      media.name.replace('.mp4', ''),
      media.name.replace('mp4', 'png'),
    ];
    for (const name of wrong) expect(await findMedia('video', name)).toBeNull();
  });

  it('is read from the disk; once gone there, it is not found', async () => {
    const media = await save(MP4);
    const opened = await openMedia(media);
    expect(opened).toMatchObject({ from: 'disk', bytes: MP4.length });
    opened.close();
    await deleteMedia(media.id);
    await expect(openMedia(media)).rejects.toMatchObject({ code: 'not_found' });
    await expect(deleteMedia(media.id)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the gallery', () => {
  it('goes page by page from the newest, by each filter', async () => {
    const made: Media[] = [];
    for (let number = 0; number < 5; number += 1) {
      made.unshift(await save(MP4, { modelId: `m${number % 2}`, accountId: `a${number}` }));
    }
    const png = await save(await canvas().png().toBuffer(), { apiKeyId: 'other' });
    const first = await listMedia({ limit: 4 });
    expect(first.items.length).toBe(4);
    const rest = await listMedia({ limit: 4, after: first.nextCursor ?? '' });
    expect(rest.nextCursor).toBeNull();
    expect(new Set([...first.items, ...rest.items].map(({ id }) => id)).size).toBe(6);
    const ids = async (filter: Omit<Parameters<typeof listMedia>[0], 'limit'>) =>
      (await listMedia({ ...filter, limit: 100 })).items.map(({ id }) => id).sort();
    const idsOf = (media: Media[]) => media.map(({ id }) => id).sort();
    expect(await ids({ kind: 'image' })).toEqual([png.id]);
    expect(await ids({ apiKeyId: 'other', kind: 'video' })).toEqual([]);
    expect(await ids({ modelId: 'm1' })).toEqual(idsOf(made.filter((m) => m.modelId === 'm1')));
    expect(await ids({ accountId: 'a3' })).toEqual(idsOf(made.filter((m) => m.accountId === 'a3')));
    const all = idsOf([...made, png]);
    expect(await ids({ fromMs: 0, untilMs: png.createdAtMs + 1 })).toEqual(all);
    expect(await ids({ fromMs: png.createdAtMs + 1 })).toEqual([]);
    expect(await ids({ untilMs: -5 })).toEqual([]);
    expect(await ids({ fromMs: Number.MAX_VALUE })).toEqual([]);
  });
});

describe('thumbnails', () => {
  it('are made once, small, in any number of calls at once', async () => {
    const media = await Promise.all(
      [1, 2, 3, 4].map(async () => save(await canvas().png().toBuffer())),
    );
    const files = await Promise.all([...media, ...media, ...media].map(thumbnailOf));
    expect(new Set(files).size).toBe(4);
    const { width, height, format } = await sharp(files[0]).metadata();
    expect({ width, height, format }).toEqual({ width: 320, height: 160, format: 'webp' });
    expect(leftovers().filter((name) => name.endsWith('.part'))).toEqual([]);
    await deleteMedia(media[0]?.id ?? '');
    expect(existsSync(thumbnailFile(media[0]?.name ?? ''))).toBe(false);
  });

  it('there are none of videos, of broken images and of bombs', async () => {
    const png = await canvas().png().toBuffer();
    // The head alone: 30,000 pixels each way.
    const bomb = Buffer.from(png);
    bomb.writeUInt32BE(30_000, 16);
    bomb.writeUInt32BE(30_000, 20);
    const flat = { width: 4_000, height: 4_000, channels: 3 as const, background: 'red' };
    // It would be in memory whole.
    const interlaced = await sharp({ create: flat }).png({ progressive: true }).toBuffer();
    for (const content of [MP4, png.subarray(0, 200), bomb, interlaced]) {
      const media = await save(content);
      await expect(thumbnailOf(media)).rejects.toMatchObject({ code: 'not_found' });
    }
    expect(leftovers().filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});

describe('the image host', () => {
  let bed: Cfbed;

  beforeAll(async () => {
    bed = await startCfbed('secret & token');
  });
  afterEach(async () => {
    bed.fault = 'none';
    await resetSettings(['cfbedUrl', 'cfbedToken', 'cfbedTimeoutMs', 'cfbedFolder']);
  });
  afterAll(() => bed.close());

  const settings = () => ({
    cfbedUrl: bed.endpoint,
    cfbedToken: bed.token,
    cfbedFolder: 'a folder/b',
  });

  it('gets the very bytes, and its address is the one given', async () => {
    await updateSettings(settings());
    const content = await canvas().png().toBuffer();
    const media = await save(content);
    const [upload] = bed.uploads;
    expect(upload).toMatchObject({ name: media.name, type: 'image/png', bytes: content.length });
    expect(upload?.query).toMatchObject({ authCode: bed.token, uploadFolder: 'a folder/b' });
    expect(mediaUrl(media, 'http://h')).toMatch(new RegExp(`^${bed.url}/file/\\w+`));
    expect((await listMedia({ limit: 1 })).items[0]?.externalUrl).toBe(media.externalUrl);
    expect(existsSync(mediaFile('image', media.name))).toBe(true);
  });

  it.each(['500', 'hang', 'html'] as const)('that answers with %s is left aside', async (fault) => {
    await updateSettings({ ...settings(), cfbedTimeoutMs: 300 });
    bed.fault = fault;
    const media = await save(MP4);
    expect(media.externalUrl).toBeNull();
    expect(mediaUrl(media, 'http://h')).toBe(`http://h/video/${media.name}`);
    const failure = await testCfbed().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: fault === 'hang' ? 'upstream_timeout' : 'upstream_error',
    });
    expect(String(failure)).not.toContain('secret');
  });

  it('is waited for no longer than the caller stays', async () => {
    await updateSettings(settings());
    bed.fault = 'hang';
    const leaving = new Cancellation();
    const saved = saveMedia(inPieces(MP4), origin, leaving);
    setTimeout(() => leaving.abort(), 100);
    const media = await saved;
    expect(media.externalUrl).toBeNull();
    expect(existsSync(mediaFile('video', media.name))).toBe(true);
    const gone = await saveMedia(inPieces(MP4), origin, leaving);
    expect(gone.externalUrl).toBeNull();
  });

  it('is tested with a tiny picture; without one, or with a wrong token, the test says so', async () => {
    await expect(testCfbed()).rejects.toMatchObject({ code: 'conflict' });
    await updateSettings({ ...settings(), cfbedToken: 'wrong' });
    await expect(testCfbed()).rejects.toThrow('HTTP 401');
    await updateSettings(settings());
    expect((await testCfbed()).url).toMatch(new RegExp(`^${bed.url}/file/`));
    expect(bed.uploads.at(-1)).toMatchObject({ type: 'image/png' });
  });

  const config = { url: 'https://img.test/base/upload', publicUrl: null };
  it.each([
    ['/file/a.png', 'https://img.test/base/file/a.png'],
    ['https://cdn.test/a.png', 'https://cdn.test/a.png'],
    ['/file/a (1).png', 'https://img.test/base/file/a%20%281%29.png'],
    ['//evil.test/a', 'https://img.test/base//evil.test/a'],
  ])('calls a file %s: %s', (src, url) => {
    expect(publicAddress(config as Parameters<typeof publicAddress>[0], src)).toBe(url);
  });

  it.each(['javascript:alert(1)', 'file.png', '', 'ftp://h/a', 'https://u:p@h/a', '@evil.test/'])(
    'does not call a file %s',
    (src) => {
      const call = () => publicAddress(config as Parameters<typeof publicAddress>[0], src);
      expect(call).toThrow('without the address');
    },
  );
});

describe('the bucket', () => {
  let s3: S3Server;

  beforeAll(async () => {
    s3 = await startS3();
  });
  afterEach(() =>
    resetSettings(['s3Endpoint', 's3Bucket', 's3AccessKeyId', 's3SecretAccessKey', 's3Prefix']),
  );
  afterAll(() => s3.close());

  const settings = () => ({
    s3Endpoint: s3.endpoint,
    s3Bucket: s3.bucket,
    s3AccessKeyId: s3.accessKeyId,
    s3SecretAccessKey: s3.secretAccessKey,
    s3Prefix: '/pool/',
  });

  async function readAll(media: Media, span: { start: number; end: number } | null = null) {
    const opened = await openMedia(media);
    if (opened.from !== 'bucket') throw new Error('not from the bucket');
    try {
      return await buffer(await opened.read(span));
    } finally {
      opened.close();
    }
  }

  /** As its row has it, once the uploads are done. */
  async function later({ kind, name }: Media): Promise<Media | null> {
    await bucketUploadsDone();
    return findMedia(kind, name);
  }

  async function saveThere(content: Buffer): Promise<Media> {
    const media = await later(await save(content));
    if (!media?.inBucket) throw new Error('not in the bucket');
    return media;
  }

  it('has it too, in many pieces, and alone when our copy is gone; deletes it', async () => {
    await updateSettings(settings());
    const content = Buffer.concat([MP4, randomBytes(12_000_000)]);
    const media = await saveThere(content);
    expect(mediaUrl(media, 'http://h')).toBe(`http://h/video/${media.name}`);
    await rm(mediaFile('video', media.name));
    expect((await readAll(media)).equals(content)).toBe(true);
    const part = await readAll(media, { start: 100, end: 199 });
    expect(part.equals(content.subarray(100, 200))).toBe(true);
    await deleteMedia(media.id);
    await expect(readAll(media)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('gets many at once, in the end all of them', async () => {
    await updateSettings(settings());
    const media = await Promise.all(Array.from({ length: 7 }, () => save(MP4)));
    expect(media.map(({ inBucket }) => inBucket)).toEqual(media.map(() => false));
    for (const each of media) expect(await later(each)).toMatchObject({ inBucket: true });
  });

  it('keeps nothing of what was deleted while it was uploaded', async () => {
    await updateSettings(settings());
    const media = await save(Buffer.concat([MP4, randomBytes(12_000_000)]));
    await vi.waitUntil(async () => (await findMedia('video', media.name))?.inBucket);
    await deleteMedia(media.id);
    await bucketUploadsDone();
    await expect(readAll({ ...media, inBucket: true })).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('gives the thumbnail of what only it has', async () => {
    await updateSettings(settings());
    const media = await saveThere(await canvas().png().toBuffer());
    await rm(mediaFile('image', media.name));
    expect((await sharp(await thumbnailOf(media)).metadata()).width).toBe(320);
  });

  it('may change while something of the one before is read', async () => {
    await updateSettings(settings());
    const content = Buffer.concat([MP4, randomBytes(3_000_000)]);
    const media = await saveThere(content);
    await rm(mediaFile('video', media.name));
    const opened = await openMedia(media);
    if (opened.from !== 'bucket') throw new Error('not from the bucket');
    const body = await opened.read(null);
    await updateSettings({ s3Endpoint: 'http://127.0.0.1:1' });
    await expect(testBucket()).rejects.toMatchObject({ code: 'upstream_error' });
    expect((await buffer(body)).equals(content)).toBe(true);
    opened.close();
  });

  it('is tested by writing and reading', async () => {
    await expect(testBucket()).rejects.toMatchObject({ code: 'conflict' });
    await updateSettings(settings());
    expect((await testBucket()).durationMs).toBeGreaterThanOrEqual(0);
    expect(existsSync(path.join(s3.directory, s3.bucket, 'pool/test'))).toBe(false);
    await updateSettings({ s3Bucket: 'nothing-here' });
    await expect(testBucket()).rejects.toThrow('HTTP 404 (NoSuchBucket)');
    await updateSettings({ ...settings(), s3AccessKeyId: 'wrong' });
    await expect(testBucket()).rejects.toThrow('HTTP 403 (InvalidAccessKeyId)');
  });

  it('that is down, half configured or not public is left aside', async () => {
    for (const broken of [
      { ...settings(), s3Endpoint: 'http://127.0.0.1:1' },
      { ...settings(), s3SecretAccessKey: null },
      { ...settings(), s3Endpoint: 'http://169.254.169.254' },
      { ...settings(), s3Bucket: 'nothing-here' },
    ]) {
      await updateSettings(broken);
      const media = await save(MP4);
      expect(await later(media)).toMatchObject({ inBucket: false });
      expect(existsSync(mediaFile('video', media.name))).toBe(true);
    }
    await updateSettings({ ...settings(), s3Endpoint: 'http://169.254.169.254' });
    await expect(testBucket()).rejects.toThrow('not on the public internet');
  });

  it('that does not let go of a medium keeps its row and file', async () => {
    await updateSettings(settings());
    const media = await saveThere(MP4);
    await updateSettings({ s3Endpoint: 'http://127.0.0.1:1' });
    await expect(deleteMedia(media.id)).rejects.toMatchObject({ code: 'upstream_error' });
    expect(existsSync(mediaFile('video', media.name))).toBe(true);
    expect(await findMedia('video', media.name)).not.toBeNull();
  });
});

it('a folder that is missing is made again', async () => {
  await rm(mediaFolder(), { recursive: true });
  const media = await save(MP4);
  expect(existsSync(mediaFile('video', media.name))).toBe(true);
});
