import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { cleanFiles } from '@/features/files/clean-files';
import { filesFolder, makeFilesFolder, newFileId, pathOfFile } from '@/features/files/file-folder';
import {
  contentOf,
  deleteAnyFile,
  deleteFile,
  type FilePage,
  findFile,
  keepUpload,
  listAllFiles,
  listFiles,
  type UploadDetails,
} from '@/features/files/files';
import { discardIncoming, receiveTemporary, receiveUpload } from '@/features/files/receive';
import { fileRoom } from '@/features/files/room';
import { closeDatabase, query } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

const KEY = 'key';
const HOUR_MS = 3_600_000;
const limits = { maxFileBytes: 1_000, maxFilesBytes: 5_000 };
const { signal } = new AbortController();

beforeEach(async () => {
  await query((db) => db.file.deleteMany());
  fs.rmSync(filesFolder(), { recursive: true, force: true });
  const room = await fileRoom();
  expect(room).toMatchObject({ incomingBytes: 0, waiting: new Map() });
  room.storedBytes = 0;
});
afterAll(closeDatabase);

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

function details(changes: Partial<UploadDetails> = {}): UploadDetails {
  return {
    apiKeyId: KEY,
    filename: 'notes.bin',
    purpose: 'user_data',
    mimeType: 'application/octet-stream',
    expiresAfterSeconds: null,
    ...changes,
  };
}

async function keep(text: string, changes: Partial<UploadDetails> = {}) {
  return keepUpload(await receiveUpload(pieces(text), limits), details(changes));
}

function page(changes: Partial<FilePage> = {}): FilePage {
  return { apiKeyId: KEY, purpose: null, after: null, limit: 100, order: 'desc', ...changes };
}

async function idsOf(changes: Partial<FilePage> = {}) {
  return (await listFiles(page(changes))).files.map(({ id }) => id);
}

const inFolder = () => fs.readdirSync(filesFolder()).filter((name) => !name.startsWith('.'));
const clean = (nowMs = Date.now()) => cleanFiles(nowMs, signal);
const expire = (id: string) =>
  query((db) => db.file.update({ where: { id }, data: { expiresAt: new Date(Date.now() - 1) } }));

describe('an upload', () => {
  it('is kept with all that is known of it, and found again', async () => {
    const incoming = await receiveUpload(pieces('one ', 'two'), limits);
    expect(inFolder()).toEqual([path.basename(incoming.path)]);
    const stored = await keepUpload(incoming, details({ expiresAfterSeconds: 3_600 }));
    expect(stored).toMatchObject({
      apiKeyId: KEY,
      filename: 'notes.bin',
      purpose: 'user_data',
      mimeType: 'application/octet-stream',
      bytes: 7,
      expiresAtMs: stored.createdAtMs + HOUR_MS,
    });
    expect(await findFile(stored.id, KEY)).toEqual(stored);
    expect(inFolder()).toEqual([stored.id]);
    expect(fs.readFileSync(await contentOf(stored), 'utf8')).toBe('one two');
    expect(await fileRoom()).toMatchObject({ storedBytes: 7, incomingBytes: 0 });
  });

  it('leaves nothing when it is discarded, fails or is too large', async () => {
    const incoming = await receiveUpload(pieces('x'), limits);
    await discardIncoming(incoming);
    await discardIncoming(incoming);
    async function* broken() {
      yield Buffer.from('x');
      throw new Error('broke off');
    }
    await expect(receiveUpload(broken(), limits)).rejects.toThrow('broke off');
    await expect(receiveUpload(pieces('x'.repeat(1_001)), limits)).rejects.toMatchObject({
      code: 'payload_too_large',
    });
    expect(inFolder()).toEqual([]);
  });

  it('leaves nothing when its row can not be written', async () => {
    const incoming = await receiveUpload(pieces('x'), limits);
    const noString = null as unknown as string;
    await expect(keepUpload(incoming, details({ purpose: noString }))).rejects.toThrow();
    await discardIncoming(incoming);
    expect(inFolder()).toEqual([]);
    expect(await fileRoom()).toMatchObject({ storedBytes: 0, incomingBytes: 0 });
  });

  it('is refused beyond what all files may have, those on their way included', async () => {
    const few = { maxFileBytes: 1_000, maxFilesBytes: 1_500 };
    const first = await receiveUpload(pieces('x'.repeat(1_000)), few);
    const second = () => receiveUpload(pieces('x'.repeat(501)), few);
    await expect(second()).rejects.toMatchObject({ code: 'storage_full' });
    const { id } = await keepUpload(first, details());
    await expect(second()).rejects.toMatchObject({ code: 'storage_full' });
    await deleteFile(id, KEY);
    await discardIncoming(await second());
  });

  it('has room as soon as a command beside the server has made some', async () => {
    const few = { maxFileBytes: 1_000, maxFilesBytes: 1_500 };
    const { id } = await keep('x'.repeat(1_000));
    // Not by this process.
    await query((db) => db.file.delete({ where: { id } }));
    const second = await receiveUpload(pieces('x'.repeat(1_000)), few);
    expect(await fileRoom()).toMatchObject({ storedBytes: 0, incomingBytes: 1_000 });
    await discardIncoming(second);
  });

  it('for one request alone takes room until it is discarded', async () => {
    const incoming = await receiveTemporary(pieces('x'.repeat(1_000)), 1_000);
    const few = { maxFileBytes: 1_000, maxFilesBytes: 1_500 };
    const second = () => receiveUpload(pieces('x'.repeat(501)), few);
    await expect(second()).rejects.toMatchObject({
      code: 'storage_full',
      message: expect.stringContaining('ask its operator to make room'),
    });
    await discardIncoming(incoming);
    await discardIncoming(await second());
    await expect(receiveTemporary(pieces('xx'), 1)).rejects.toMatchObject({
      code: 'payload_too_large',
    });
    expect(await fileRoom()).toMatchObject({ storedBytes: 0, incomingBytes: 0 });
  });

  it.each([
    ['报告 (最终) [2].pdf', '报告 (最终) [2].pdf'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\Users\\me\\a b.txt', 'a b.txt'],
    ['a\0b\r\nc\u202ed.txt', 'abcd.txt'],
    ['\ud800.txt', '\ufffd.txt'],
    ['..', 'file'],
    ['', 'file'],
    ['a/', 'file'],
    [' \n ', 'file'],
    ['😀'.repeat(300), '😀'.repeat(255)],
  ])('named %j is called %j', async (filename, expected) => {
    expect((await keep('x', { filename })).filename).toBe(expected);
  });

  const png =
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
  it.each([
    ['its content', Buffer.from(png, 'base64'), 'x.txt', 'text/plain', 'image/png'],
    ['its content', '%PDF-1.7\n', 'x', 'text/html', 'application/pdf'],
    ['what was declared', '<p>', 'x.txt', 'Text/HTML', 'text/html'],
    ['its name', 'a,b', 'x.CSV', 'application/octet-stream', 'text/csv'],
    ['its name', '{}', 'x.json', 'text/plain', 'application/json'],
    ['its name', 'x', 'x.py', '', 'text/plain'],
    ['its name', '<?xml version="1.0"?><svg/>', 'x.svg', '', 'image/svg+xml'],
    ['nothing', 'x', 'x', 'text/plain', 'text/plain'],
    ['nothing', 'x', 'x.unknown', 'a/b\r\nx: y', 'application/octet-stream'],
    ['nothing', '', 'constructor', '', 'application/octet-stream'],
  ])('has a type by %s', async (_, content, filename, mimeType, expected) => {
    const incoming = await receiveUpload(
      (async function* () {
        yield Buffer.from(content);
      })(),
      limits,
    );
    expect(await keepUpload(incoming, details({ filename, mimeType }))).toMatchObject({
      mimeType: expected,
    });
  });
});

it('shows nobody a file that is another key’s, over or deleted', async () => {
  const { id } = await keep('x');
  await expect(findFile(id, 'other')).rejects.toMatchObject({ code: 'not_found', param: 'id' });
  await expect(deleteFile(id, 'other')).rejects.toMatchObject({ code: 'not_found' });
  expect(await idsOf({ apiKeyId: 'other' })).toEqual([]);
  await expire(id);
  await expect(findFile(id, KEY)).rejects.toMatchObject({ code: 'not_found' });
  expect(await idsOf()).toEqual([]);
  const second = await keep('x');
  await deleteFile(second.id, KEY);
  await expect(deleteFile(second.id, KEY)).rejects.toMatchObject({ code: 'not_found' });
  expect(inFolder()).toEqual([id]);
});

it.each(['', '..', '../pool.db', 'file-', 'file-../../pool.db', `${newFileId(0)}/..`, 'x\0'])(
  'knows no file %j, and no path of it',
  async (id) => {
    await expect(findFile(id, KEY)).rejects.toMatchObject({ code: 'not_found' });
    expect(() => pathOfFile(id)).toThrow();
  },
);

it('shows and deletes all files for the operator', async () => {
  const mine = await keep('x');
  const other = await keep('x', { apiKeyId: 'other' });
  await expire(other.id);
  const ids = async (apiKeyId: string | null, after: string | null = null) =>
    (await listAllFiles({ apiKeyId, after, limit: 10 })).files.map(({ id }) => id);
  expect(await ids(null)).toEqual([other.id, mine.id]);
  expect(await ids('other')).toEqual([other.id]);
  expect(await ids(null, other.id)).toEqual([mine.id]);
  await deleteAnyFile(other.id);
  await expect(deleteAnyFile(other.id)).rejects.toMatchObject({ code: 'not_found' });
  await expect(deleteAnyFile('../x')).rejects.toMatchObject({ code: 'not_found' });
  expect(inFolder()).toEqual([mine.id]);
});

describe('a list', () => {
  function addRows(count: number) {
    const data = Array.from({ length: count }, (_, number) => ({
      id: newFileId(1_000 + number),
      apiKeyId: KEY,
      filename: String(number),
      purpose: number % 2 === 0 ? 'vision' : 'batch',
      mimeType: 'text/plain',
      bytes: 1,
      createdAt: new Date(1_000 + number),
    }));
    return query((db) => db.file.createMany({ data }));
  }

  it('has every file once, page by page, and tells exactly whether there are more', async () => {
    await addRows(6);
    const names: string[] = [];
    let after: string | null = null;
    for (const hasMore of [true, true, false]) {
      const read = await listFiles(page({ limit: 2, after }));
      expect(read.hasMore).toBe(hasMore);
      names.push(...read.files.map(({ filename }) => filename));
      after = read.files.at(-1)?.id ?? null;
    }
    expect(names).toEqual(['5', '4', '3', '2', '1', '0']);
    expect(await listFiles(page({ after }))).toEqual({ files: [], hasMore: false });
    const ascending = await listFiles(page({ order: 'asc', limit: 6, purpose: 'batch' }));
    expect(ascending.files.map(({ filename }) => filename)).toEqual(['1', '3', '5']);
  });

  it('goes on behind a file that was deleted meanwhile', async () => {
    await addRows(3);
    const [first, second, third] = await idsOf();
    await deleteFile(second ?? '', KEY);
    expect(await idsOf({ after: second ?? null })).toEqual([third]);
    expect(await idsOf({ after: second ?? null, order: 'asc' })).toEqual([first]);
  });

  it('of thousands lets others work meanwhile', async () => {
    await addRows(2_001);
    let ticks = 0;
    const ticking = setInterval(() => {
      ticks += 1;
    }, 0);
    expect(await listFiles(page({ limit: 2_000 }))).toMatchObject({ hasMore: true });
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(1);
    expect(await listFiles(page({ limit: 2_001 }))).toMatchObject({ hasMore: false });
  });
});

describe('the clean-up', () => {
  const none = { expired: 0, ofOldKeys: 0, litter: 0, missing: 0 };

  it('takes what is over, litter and rows without bytes, and leaves the rest', async () => {
    const kept = await keep('kept');
    const expired = await keep('expired');
    const lost = await keep('lost');
    await expire(expired.id);
    fs.rmSync(pathOfFile(lost.id));
    const litter = [newFileId(0), 'a-crash.part'];
    for (const name of [...litter, 'not ours']) {
      fs.writeFileSync(path.join(filesFolder(), name), 'x');
    }
    const held = await receiveUpload(pieces('held'), limits);
    expect(await clean()).toEqual({ ...none, expired: 1, missing: 1 });
    const { name } = path.parse(held.path);
    expect(inFolder().sort()).toEqual([...litter, 'not ours', kept.id, `${name}.part`].sort());
    // What is held for a request is no litter, however old.
    expect(await clean(Date.now() + 2 * HOUR_MS)).toEqual({ ...none, litter: 2 });
    await discardIncoming(held);
    expect(inFolder().sort()).toEqual(['not ours', kept.id].sort());
    expect(await idsOf()).toEqual([kept.id]);
    expect(await fileRoom()).toMatchObject({ storedBytes: 4 });
  });

  it('takes nothing for lost or litter where the disk is not mounted', async () => {
    const { id } = await keep('x');
    const disk = `${filesFolder()}-disk`;
    fs.renameSync(filesFolder(), disk);
    const later = Date.now() + 2 * HOUR_MS;
    expect(await clean(later)).toEqual(none);
    fs.mkdirSync(filesFolder());
    expect(await clean(later)).toEqual(none);
    // An upload onto the empty place does not make it the right one.
    const lost = await keep('y');
    expect(await clean(later)).toEqual(none);
    expect(await idsOf()).toEqual([lost.id, id]);
    await expect(contentOf(await findFile(id, KEY))).rejects.toMatchObject({ code: 'not_found' });
    fs.rmSync(filesFolder(), { recursive: true });
    fs.renameSync(disk, filesFolder());
    expect(await clean(later)).toEqual({ ...none, missing: 1 });
    expect(inFolder()).toEqual([id]);
  });

  it('takes the files of keys that are out of use for 30 days', async () => {
    const now = Date.now();
    const at = (days: number) => new Date(now - days * 24 * HOUR_MS);
    const key = (id: string, more: object) =>
      query((db) => db.apiKey.create({ data: { id, name: id, hash: id, prefix: id, ...more } }));
    await key('old', { revokedAt: at(31) });
    await key('fresh', { revokedAt: at(29) });
    await key('over', { expiresAt: at(31) });
    await key('used', { expiresAt: at(-1) });
    for (const apiKeyId of ['old', 'old', 'fresh', 'over', 'used']) await keep('x', { apiKeyId });
    expect(await clean(now)).toEqual({ ...none, ofOldKeys: 3 });
    const { files } = await listAllFiles({ apiKeyId: null, after: null, limit: 10 });
    expect(files.map(({ apiKeyId }) => apiKeyId)).toEqual(['used', 'fresh']);
  });

  it('goes through thousands, and ends when it is told to', async () => {
    await makeFilesFolder();
    for (let number = 0; number < 3_000; number++) {
      fs.writeFileSync(path.join(filesFolder(), newFileId(number)), 'x');
    }
    const later = Date.now() + 2 * HOUR_MS;
    expect(await cleanFiles(later, AbortSignal.abort())).toEqual(none);
    expect(await clean(later)).toEqual({ ...none, litter: 3_000 });
    expect(inFolder()).toEqual([]);
  });
});
