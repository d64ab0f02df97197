import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { bucketUploadsDone } from '@/features/media/bucket-uploads';
import { cleanMedia } from '@/features/media/clean-media';
import { type MediaKind, saveMedia } from '@/features/media/media';
import {
  kindFolder,
  makeKindFolder,
  mediaFile,
  mediaFolder,
  thumbnailFile,
  thumbnailFolder,
} from '@/features/media/media-folder';
import { openMedia } from '@/features/media/open-media';
import { openDataFolder } from '@/features/settings/data-folder';
import { resetSettings, updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { Cancellation } from '@/platform/cancellation';
import { closeDatabase, query } from '@/platform/db';
import { makeFolder } from '@/platform/make-folder';
import { rowId } from '@/platform/row-id';
import { newDataFolder } from '../../../e2e/support/data-folder';
import { startS3 } from '../../../e2e/support/s3-server';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';
process.env.ALLOW_PRIVATE_URLS = '127.0.0.1';

const HOUR_MS = 3_600_000;
const NOW = Date.now();
const running = new AbortController().signal;
const unlimited = { imageRetentionHours: null, videoRetentionHours: null };

beforeAll(async () => {
  await openDataFolder();
  makeFolder(thumbnailFolder());
  await makeKindFolder('image');
  await makeKindFolder('video');
});
beforeEach(async () => {
  await query((db) => db.media.deleteMany());
  await updateSettings({ ...unlimited, maxMediaBytes: 1_000_000_000 });
});
afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

let made = 0;

interface Wanted {
  kind?: MediaKind;
  ageMs?: number;
  unusedMs?: number;
  bytes?: number;
  inBucket?: boolean;
  hasFile?: boolean;
}

/** A medium with a file of its own, or without; of as many bytes as its row says. */
function toRow({
  kind = 'image',
  ageMs = 0,
  unusedMs = ageMs,
  bytes = 10,
  inBucket = false,
  hasFile = true,
}: Wanted) {
  made += 1;
  const name = `${made.toString(16).padStart(32, '0')}.${kind === 'image' ? 'png' : 'mp4'}`;
  if (hasFile) writeFileSync(mediaFile(kind, name), Buffer.alloc(bytes));
  return {
    ...{ id: rowId(NOW - ageMs), kind, name, mimeType: `${kind}/x`, bytes, inBucket },
    ...{ modelId: 'model', accountId: 'account', apiKeyId: 'key' },
    ...{ createdAt: new Date(NOW - ageMs), lastUsedAt: new Date(NOW - unusedMs) },
  };
}

async function add(wanted: Wanted = {}) {
  const row = toRow(wanted);
  await query((db) => db.media.create({ data: row }));
  return row;
}

function stray(folder: string, name: string, ageMs: number): string {
  const file = path.join(folder, name);
  writeFileSync(file, 'stray');
  const changed = new Date(NOW - ageMs);
  utimesSync(file, changed, changed);
  return file;
}

const names = async () =>
  (await query((db) => db.media.findMany({ orderBy: { id: 'asc' } }))).map(({ name }) => name);
const fileOf = (row: { kind: MediaKind; name: string }) => mediaFile(row.kind, row.name);

it('removes what is older than the retention of its kind, with its thumbnail', async () => {
  await updateSettings({ imageRetentionHours: 2, videoRetentionHours: null });
  const old = await add({ ageMs: 3 * HOUR_MS, unusedMs: 0 });
  writeFileSync(thumbnailFile(old.name), 'small');
  const young = await add({ ageMs: HOUR_MS });
  const film = await add({ kind: 'video', ageMs: 3 * HOUR_MS });
  expect(await cleanMedia(NOW, running)).toMatchObject({ expired: 1, failed: 0 });
  expect(await names()).toEqual([film.name, young.name]);
  expect([old, young, film].map((row) => existsSync(fileOf(row)))).toEqual([false, true, true]);
  expect(existsSync(thumbnailFile(old.name))).toBe(false);
});

it('leaves what is being read, and takes it next time', async () => {
  await updateSettings({ videoRetentionHours: 1, maxMediaBytes: 1_024 });
  const row = await add({ kind: 'video', ageMs: 9 * HOUR_MS, bytes: 5_000 });
  const { createdAt, lastUsedAt, ...rest } = row;
  const [createdAtMs, lastUsedAtMs] = [createdAt.getTime(), lastUsedAt.getTime()];
  const media = { ...rest, externalUrl: null, createdAtMs, lastUsedAtMs };
  const readers = [await openMedia(media), await openMedia(media)];
  for (const reader of readers) {
    expect(await cleanMedia(NOW, running)).toMatchObject({ expired: 0, evicted: 0 });
    expect(existsSync(fileOf(row))).toBe(true);
    expect(await names()).toEqual([row.name]);
    reader.close();
    reader.close();
  }
  expect(await cleanMedia(NOW, running)).toMatchObject({ expired: 1 });
  expect(existsSync(fileOf(row))).toBe(false);
});

it('makes room by the least recently used, of both kinds together', async () => {
  const rows = [];
  for (const [hours, kind] of [
    [1, 'image'],
    [5, 'video'],
    [3, 'image'],
    [4, 'video'],
    [2, 'image'],
  ] as const) {
    rows.push(
      await add({ kind, ageMs: 9 * HOUR_MS - hours, unusedMs: hours * HOUR_MS, bytes: 400 }),
    );
  }
  await updateSettings({ maxMediaBytes: 1_200 });
  expect(await cleanMedia(NOW, running)).toMatchObject({ evicted: 2 });
  expect(rows.map((row) => existsSync(fileOf(row)))).toEqual([true, false, true, false, true]);
  expect(await names()).toHaveLength(3);
  expect(await cleanMedia(NOW, running)).toMatchObject({ evicted: 0 });
});

it('removes rows without a file and files without a row, but not young ones', async () => {
  const lost = await add({ ageMs: 2 * HOUR_MS, hasFile: false });
  const young = await add({ ageMs: HOUR_MS / 2, hasFile: false });
  const stored = await add({ ageMs: 2 * HOUR_MS, hasFile: false, inBucket: true });
  const whole = await add({ ageMs: 2 * HOUR_MS });
  const litter = [
    stray(kindFolder('image'), `${'a'.repeat(32)}.png`, 2 * HOUR_MS),
    stray(kindFolder('video'), 'anything', 2 * HOUR_MS),
    // A name that is known, but of the other kind.
    stray(kindFolder('video'), whole.name, 2 * HOUR_MS),
    stray(mediaFolder(), 'one.part', 2 * HOUR_MS),
    stray(kindFolder('video'), 'two.part', 2 * HOUR_MS),
    stray(thumbnailFolder(), 'three.part', 2 * HOUR_MS),
    stray(thumbnailFolder(), `${lost.name}.webp`, 0),
  ];
  const kept = [
    stray(kindFolder('image'), `${'b'.repeat(32)}.png`, HOUR_MS / 2),
    stray(mediaFolder(), 'four.part', HOUR_MS / 2),
    stray(mediaFolder(), 'note.txt', 2 * HOUR_MS),
    stray(kindFolder('image'), '.hidden', 2 * HOUR_MS),
    stray(thumbnailFolder(), `${whole.name}.webp`, 2 * HOUR_MS),
    stray(thumbnailFolder(), `${stored.name}.webp`, 2 * HOUR_MS),
  ];
  expect(await cleanMedia(NOW, running)).toMatchObject({
    rowsWithoutFile: 1,
    filesWithoutRow: 3,
    unfinished: 3,
    thumbnailsWithoutMedium: 1,
    failed: 0,
  });
  expect(litter.filter((file) => existsSync(file))).toEqual([]);
  expect(kept.filter((file) => !existsSync(file))).toEqual([]);
  expect(new Set(await names())).toEqual(new Set([young.name, stored.name, whole.name]));
});

it('leaves a kind alone whose disk is not mounted', async () => {
  await updateSettings({ imageRetentionHours: 4, videoRetentionHours: 4 });
  const ages = { ageMs: 2 * HOUR_MS };
  const [picture, film] = [await add(ages), await add({ ...ages, kind: 'video' })];
  const expired = await add({ ageMs: 5 * HOUR_MS });
  const [folder, disk] = [kindFolder('image'), `${mediaFolder()}-disk`];
  renameSync(folder, disk);
  const untouched = { rowsWithoutFile: 0, filesWithoutRow: 0, expired: 0, failed: 0 };
  expect(await cleanMedia(NOW, running)).toMatchObject(untouched);
  mkdirSync(folder);
  expect(await cleanMedia(NOW, running)).toMatchObject(untouched);
  // What is made meanwhile does not make it the right folder.
  await makeKindFolder('image');
  expect(await cleanMedia(NOW, running)).toMatchObject(untouched);
  expect(new Set(await names())).toEqual(new Set([picture.name, film.name, expired.name]));
  rmSync(folder, { recursive: true });
  renameSync(disk, folder);
  expect(await cleanMedia(NOW, running)).toMatchObject({ ...untouched, expired: 1 });
  expect(new Set(await names())).toEqual(new Set([picture.name, film.name]));
});

it('with a bucket drops copies for room, and both by age', async () => {
  const s3 = await startS3();
  await updateSettings({
    s3Endpoint: s3.endpoint,
    s3Bucket: s3.bucket,
    s3AccessKeyId: s3.accessKeyId,
    s3SecretAccessKey: s3.secretAccessKey,
  });
  try {
    const png = Buffer.concat([
      Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
      Buffer.alloc(4_000),
    ]);
    async function* content() {
      yield png;
    }
    const origin = { declaredType: null, modelId: 'm', accountId: 'a', apiKeyId: 'k' };
    const media = await saveMedia(content(), origin, new Cancellation());
    // It was not there yet when a crash came, of which the row tells nothing.
    const cut = await add({ inBucket: true, unusedMs: HOUR_MS });
    await bucketUploadsDone();
    await updateSettings({ maxMediaBytes: 1_024 });
    expect(await cleanMedia(NOW, running)).toMatchObject({ evicted: 2 });
    expect([media, cut].map((row) => existsSync(fileOf(row)))).toEqual([false, false]);
    expect(await names()).toEqual([media.name]);
    const opened = await openMedia({ ...media, inBucket: true });
    expect(opened.from).toBe('bucket');
    opened.close();
    const later = Date.now() + 2 * HOUR_MS;
    expect(await cleanMedia(later, running)).toMatchObject({ rowsWithoutFile: 0, expired: 0 });
    await updateSettings({ imageRetentionHours: 1 });
    await s3.close();
    expect(await cleanMedia(later, running)).toMatchObject({ expired: 0, failed: 1 });
    expect(await names()).toEqual([media.name]);
  } finally {
    await resetSettings(['s3Endpoint', 's3Bucket', 's3AccessKeyId', 's3SecretAccessKey']);
  }
});

it('goes through 10,000 files between which others run, and stops when told', async () => {
  await updateSettings({ imageRetentionHours: 48, maxMediaBytes: 50_000 });
  const rows = Array.from({ length: 10_000 }, (_, number) =>
    toRow({ ageMs: (number < 2_000 ? 100 : 10) * HOUR_MS, unusedMs: number * 1_000 }),
  );
  for (let first = 0; first < rows.length; first += 1_000) {
    await query((db) => db.media.createMany({ data: rows.slice(first, first + 1_000) }));
  }
  const stopped = new AbortController();
  stopped.abort();
  expect(await cleanMedia(NOW, stopped.signal)).toMatchObject({ expired: 0, evicted: 0 });
  expect(await query((db) => db.media.count())).toBe(10_000);
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  expect(await cleanMedia(NOW, running)).toMatchObject({ expired: 2_000, evicted: 3_000 });
  clearInterval(timer);
  expect(turns).toBeGreaterThan(100);
  // Those that were used last are left.
  expect((await names()).sort()).toEqual(rows.slice(2_000, 7_000).map(({ name }) => name));
  expect(readdirSync(kindFolder('image')).filter((name) => name.startsWith('0'))).toHaveLength(
    5_000,
  );
}, 120_000);
