import { rename, rm } from 'node:fs/promises';
import { setImmediate as breath } from 'node:timers/promises';
import { contentTypeOf } from '@/features/files/content-type';
import {
  filesFolder,
  isFileId,
  isThere,
  newFileId,
  pathOfFile,
} from '@/features/files/file-folder';
import { plainFileName } from '@/features/files/file-name';
import { endWaiting, fileRoom } from '@/features/files/room';
import type { File } from '@/generated/prisma/client';
import { query } from '@/platform/db';
import { AppError, excerpt } from '@/platform/errors';
import { type IncomingFile, receiveFile } from '@/platform/incoming-file';
import { log } from '@/platform/log';
import { makeFolder } from '@/platform/make-folder';

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

export interface UploadLimits {
  /** Of one file. */
  maxFileBytes: number;
  /** Of all files together. */
  maxFilesBytes: number;
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

/**
 * Takes content in before its details are known, since the fields of a form come in any order. The
 * file must then be kept or discarded.
 * @throws AppError `payload_too_large`, or `storage_full` if the disk or the operator's limit is; else
 *   what `content` throws
 */
export async function receiveUpload(
  content: AsyncIterable<Uint8Array>,
  { maxFileBytes, maxFilesBytes }: UploadLimits,
): Promise<IncomingFile> {
  const room = await fileRoom();
  makeFolder(filesFolder());
  let bytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of content) {
      bytes += piece.byteLength;
      room.incomingBytes += piece.byteLength;
      if (room.storedBytes + room.incomingBytes > maxFilesBytes) throw noRoom(maxFilesBytes);
      yield piece;
    }
  }
  try {
    const incoming = await receiveFile(filesFolder(), counted(), maxFileBytes);
    room.waiting.add(incoming.path);
    return incoming;
  } catch (error) {
    room.incomingBytes -= bytes;
    throw error;
  }
}

/**
 * Takes a file in for the time of one request. Who asked for it removes it.
 * @throws AppError `payload_too_large`, `storage_full`; else what `content` throws
 */
export function receiveTemporary(
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<IncomingFile> {
  makeFolder(filesFolder());
  return receiveFile(filesFolder(), content, maxBytes);
}

function noRoom(maxFilesBytes: number): AppError {
  return new AppError(
    'storage_full',
    `All uploaded files together may have ${maxFilesBytes} bytes. Delete some first.`,
  );
}

/** Makes a file of an upload; if that fails, nothing stays of it. */
export async function keepUpload(
  incoming: IncomingFile,
  details: UploadDetails,
): Promise<StoredFile> {
  const room = await fileRoom();
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
    await query((db) => db.file.create({ data: row }));
    room.storedBytes += incoming.bytes;
    return toFile(row);
  } catch (error) {
    await rm(pathOfFile(id), { force: true });
    await rm(incoming.path, { force: true });
    throw error;
  } finally {
    endWaiting(room, incoming);
  }
}

/** Removes an upload that is not wanted. Safe to call again, also for one that was kept. */
export async function discardUpload(incoming: IncomingFile): Promise<void> {
  endWaiting(await fileRoom(), incoming);
  await rm(incoming.path, { force: true });
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
export async function listFiles(
  page: FilePage,
): Promise<{ files: StoredFile[]; hasMore: boolean }> {
  const { apiKeyId, purpose, limit, order } = page;
  const where = { apiKeyId, ...(purpose !== null && { purpose }), ...notOver(Date.now()) };
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
 * Deletes the rows, then the bytes: of what fails in between the clean-up finds the rest.
 * @returns how many there were
 */
export async function removeFiles(ids: readonly string[]): Promise<number> {
  const room = await fileRoom();
  const json = JSON.stringify(ids);
  const rows = await query(
    (db) => db.$queryRaw<{ bytes: number | bigint }[]>`DELETE FROM "File" WHERE "id" IN
      (SELECT value FROM json_each(${json})) RETURNING "bytes"`,
  );
  for (const { bytes } of rows) room.storedBytes -= Number(bytes);
  for (const id of ids) {
    try {
      await rm(pathOfFile(id), { force: true });
    } catch (error) {
      log().warn({ file: id, err: error }, 'the bytes of a deleted file could not be removed');
    }
  }
  return rows.length;
}

function notOver(nowMs: number) {
  return { OR: [{ expiresAt: null }, { expiresAt: { gt: new Date(nowMs) } }] };
}

function toFile({ createdAt, expiresAt, ...row }: File): StoredFile {
  return { ...row, createdAtMs: createdAt.getTime(), expiresAtMs: expiresAt?.getTime() ?? null };
}
