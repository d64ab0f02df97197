import { rename, rm } from 'node:fs/promises';
import { setImmediate as breath } from 'node:timers/promises';
import { contentTypeOf } from '@/features/files/content-type';
import { isFileId, newFileId, pathOfFile } from '@/features/files/file-folder';
import { plainFileName } from '@/features/files/file-name';
import { changeFiles, endWaiting, type Room } from '@/features/files/room';
import type { File, Prisma } from '@/generated/prisma/client';
import { query } from '@/platform/db';
import { AppError, excerpt } from '@/platform/errors';
import { isThere } from '@/platform/folder';
import type { IncomingFile } from '@/platform/incoming-file';
import { log } from '@/platform/log';

// So many rows hold the event loop for some milliseconds.
const PAGE_ROWS = 200;

/** A file of a caller; its bytes are where `pathOfFile` says. */
export interface StoredFile {
  id: string;
  apiKeyId: string;
  filename: string;
  purpose: string;
  mimeType: string;
  bytes: number;
  createdAtMs: number;
  expiresAtMs: number | null;
}

export interface UploadDetails {
  apiKeyId: string;
  /** As the caller wrote it. */
  filename: string;
  purpose: string;
  /** As the caller declared it; what the content shows wins. */
  mimeType: string;
  /** Null: kept until it is deleted. */
  expiresAfterSeconds: number | null;
}

/** Makes a file of an upload; if that fails, nothing stays of it. */
export async function keepUpload(
  incoming: IncomingFile,
  details: UploadDetails,
): Promise<StoredFile> {
  const createdAtMs = Date.now();
  const id = newFileId(createdAtMs);
  const filename = plainFileName(details.filename);
  const { apiKeyId, purpose, mimeType: declared, expiresAfterSeconds: seconds } = details;
  try {
    const mimeType = await contentTypeOf(incoming.path, { declared, filename });
    const row = {
      id,
      apiKeyId,
      filename,
      purpose,
      mimeType,
      bytes: incoming.bytes,
      createdAt: new Date(createdAtMs),
      expiresAt: seconds === null ? null : new Date(createdAtMs + seconds * 1_000),
    };
    // The bytes first: a row promises them, while bytes without a row are found as litter.
    await rename(incoming.path, pathOfFile(id));
    await changeFiles(async (room) => {
      await query((db) => db.file.create({ data: row }));
      room.storedBytes += incoming.bytes;
    });
    return toFile(row);
  } catch (error) {
    await rm(pathOfFile(id), { force: true });
    await rm(incoming.path, { force: true });
    throw error;
  } finally {
    endWaiting(incoming.path);
  }
}

/**
 * The file of that id if it is this key's and not over.
 * @throws AppError `not_found` with `id` as `param`
 */
export async function findFile(id: string, apiKeyId: string): Promise<StoredFile> {
  const row = isFileId(id)
    ? await query((db) => db.file.findFirst({ where: { id, apiKeyId, ...notOver(Date.now()) } }))
    : null;
  if (!row) throw fileNotFound(id);
  return toFile(row);
}

/**
 * Where the bytes of a file are.
 * @throws AppError `not_found` with `id` as `param` if they have gone
 */
export async function contentOf({ id }: StoredFile): Promise<string> {
  const file = pathOfFile(id);
  if (!(await isThere(file))) throw fileNotFound(id);
  return file;
}

function fileNotFound(id: string): AppError {
  return new AppError('not_found', `There is no file with the id ${excerpt(id)}.`, { param: 'id' });
}

export interface FilePage {
  apiKeyId: string;
  /** Null: all. */
  purpose: string | null;
  /** The page begins behind this id, whether or not its file is still there; null: at the beginning. */
  after: string | null;
  limit: number;
  /** By time. */
  order: 'asc' | 'desc';
}

/** A page of a key's files, and whether there are more behind it. */
export function listFiles(page: FilePage): Promise<{ files: StoredFile[]; hasMore: boolean }> {
  const { apiKeyId, purpose } = page;
  const where = { apiKeyId, ...(purpose !== null && { purpose }), ...notOver(Date.now()) };
  return pageOf(where, page);
}

/**
 * For the operator: a page of the files of all keys or of one, those that are over included, the
 * newest first.
 */
export function listAllFiles(page: {
  apiKeyId: string | null;
  after: string | null;
  limit: number;
}): Promise<{ files: StoredFile[]; hasMore: boolean }> {
  const where = page.apiKeyId === null ? {} : { apiKeyId: page.apiKeyId };
  return pageOf(where, { ...page, order: 'desc' });
}

async function pageOf(
  where: Prisma.FileWhereInput,
  { limit, order, ...page }: Pick<FilePage, 'after' | 'limit' | 'order'>,
): Promise<{ files: StoredFile[]; hasMore: boolean }> {
  const files: StoredFile[] = [];
  // One more than asked for tells whether there are more.
  for (let { after } = page; files.length <= limit; ) {
    const take = Math.min(PAGE_ROWS, limit + 1 - files.length);
    const id = after === null ? {} : { id: order === 'asc' ? { gt: after } : { lt: after } };
    const rows = await query((db) =>
      db.file.findMany({ where: { ...where, ...id }, orderBy: { id: order }, take }),
    );
    files.push(...rows.map(toFile));
    if (rows.length < take) break;
    after = rows.at(-1)?.id ?? null;
    await breath();
  }
  return { files: files.slice(0, limit), hasMore: files.length > limit };
}

/**
 * Deletes a file of this key for good.
 * @throws AppError `not_found` with `id` as `param`
 */
export async function deleteFile(id: string, apiKeyId: string): Promise<void> {
  await findFile(id, apiKeyId);
  if ((await removeFiles([id])) === 0) throw fileNotFound(id);
}

/**
 * For the operator: deletes a file, whosever it is.
 * @throws AppError `not_found`
 */
export async function deleteAnyFile(id: string): Promise<void> {
  if (!isFileId(id) || (await removeFiles([id])) === 0) throw fileNotFound(id);
}

/**
 * Deletes the rows, then the bytes: of what fails in between the clean-up finds the rest.
 * @returns how many there were
 */
export async function removeFiles(ids: readonly string[]): Promise<number> {
  const count = await changeFiles((room) => deleteRows(ids, room));
  for (const id of ids) {
    try {
      await rm(pathOfFile(id), { force: true });
    } catch (error) {
      log().warn({ file: id, err: error }, 'the bytes of a deleted file could not be removed');
    }
  }
  return count;
}

async function deleteRows(ids: readonly string[], room: Room): Promise<number> {
  const json = JSON.stringify(ids);
  const rows = await query(
    (db) => db.$queryRaw<{ bytes: number | bigint }[]>`DELETE FROM "File" WHERE "id" IN
      (SELECT value FROM json_each(${json})) RETURNING "bytes"`,
  );
  for (const { bytes } of rows) room.storedBytes -= Number(bytes);
  return rows.length;
}

function notOver(nowMs: number) {
  return { OR: [{ expiresAt: null }, { expiresAt: { gt: new Date(nowMs) } }] };
}

function toFile({ createdAt, expiresAt, ...row }: File): StoredFile {
  return { ...row, createdAtMs: createdAt.getTime(), expiresAtMs: expiresAt?.getTime() ?? null };
}
