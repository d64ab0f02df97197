import path from 'node:path';
import { query } from '@/platform/db';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { isSafeToClean, makeMarkedFolder } from '@/platform/folder-mark';
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

/** Makes that folder where it is missing. @throws AppError `conflict` if it can't be made */
export function makeFilesFolder(): Promise<void> {
  return makeMarkedFolder(filesFolder(), hasFiles);
}

/** Whether the folder is the one that the rows tell of, so that the two may be compared. */
export function isFilesFolderSafe(): Promise<boolean> {
  return isSafeToClean(filesFolder(), hasFiles);
}

async function hasFiles(): Promise<boolean> {
  return (await query((db) => db.file.findFirst({ select: { id: true } }))) !== null;
}
