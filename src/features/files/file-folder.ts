import { opendir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { rowId } from '@/platform/row-id';

const FILE_ID = /^file-[0-9A-HJKMNP-TV-Z]{26}$/;

/** A new id: `file-` and a ULID of `timeMs`, so that ids are in the order of time. */
export function newFileId(timeMs: number): string {
  return `file-${rowId(timeMs)}`;
}

/** Whether `text` can be the id of a file, and so the name of one in the folder. */
export function isFileId(text: string): boolean {
  return FILE_ID.test(text);
}

/** Where the bytes of all files are; it may not be there yet. */
export function filesFolder(): string {
  return path.join(/*turbopackIgnore: true*/ env().dataDir, 'files');
}

/**
 * Where the bytes of a file are, or would be.
 * @throws AppError `internal` for what is no id, whatever path it spells
 */
export function pathOfFile(id: string): string {
  if (!isFileId(id)) throw new AppError('internal', 'That is no id of a file.');
  return path.join(/*turbopackIgnore: true*/ filesFolder(), id);
}

/** The names in the folder, some at a time; none if there is no folder. */
export async function* namesInFolder(pageSize: number): AsyncGenerator<string[]> {
  if (!(await isThere(filesFolder()))) return;
  let names: string[] = [];
  for await (const { name } of await opendir(/*turbopackIgnore: true*/ filesFolder())) {
    names.push(name);
    if (names.length < pageSize) continue;
    yield names;
    names = [];
  }
  if (names.length > 0) yield names;
}

/** False only if there is surely nothing: a disk that can't be read tells nothing. */
export async function isThere(file: string): Promise<boolean> {
  try {
    await stat(/*turbopackIgnore: true*/ file);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Removes what has that name in the folder if it was made, and named so, before `timeMs`. */
export async function removeOlder(name: string, timeMs: number): Promise<boolean> {
  const file = path.join(/*turbopackIgnore: true*/ filesFolder(), name);
  const { ctimeMs } = await stat(file).catch(() => ({ ctimeMs: Number.POSITIVE_INFINITY }));
  if (ctimeMs >= timeMs) return false;
  await rm(file, { force: true });
  return true;
}
