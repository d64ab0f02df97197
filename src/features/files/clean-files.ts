import { setImmediate as breath } from 'node:timers/promises';
import {
  filesFolder,
  isFileId,
  isThere,
  namesInFolder,
  pathOfFile,
  removeOlder,
} from '@/features/files/file-folder';
import { removeFiles } from '@/features/files/files';
import { query } from '@/platform/db';
import { PART_EXTENSION } from '@/platform/incoming-file';

const PAGE_ROWS = 200;
/** What is younger may be an upload under way, or one between its name and its row. */
const LITTER_AGE_MS = 3_600_000;

/**
 * Removes files that are over, bytes that no row knows, and rows without bytes, some at a time and
 * until `signal` says stop.
 * @returns how many of each
 */
export async function cleanFiles(
  nowMs: number,
  signal: AbortSignal,
): Promise<{ expired: number; litter: number; missing: number }> {
  return {
    expired: await removeExpired(nowMs, signal),
    litter: await removeLitter(nowMs - LITTER_AGE_MS, signal),
    missing: await removeMissing(signal),
  };
}

async function removeExpired(nowMs: number, signal: AbortSignal): Promise<number> {
  const where = { expiresAt: { lte: new Date(nowMs) } };
  for (let removed = 0; ; ) {
    if (signal.aborted) return removed;
    const rows = await query((db) =>
      db.file.findMany({ where, select: { id: true }, take: PAGE_ROWS }),
    );
    if (rows.length === 0) return removed;
    removed += await removeFiles(rows.map(({ id }) => id));
    await breath();
  }
}

async function removeLitter(olderThanMs: number, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for await (const names of namesInFolder(PAGE_ROWS)) {
    if (signal.aborted) break;
    const ids = names.filter(isFileId);
    const rows = await query((db) =>
      db.file.findMany({ where: { id: { in: ids } }, select: { id: true } }),
    );
    const known = new Set(rows.map(({ id }) => id));
    const unknown = ids.filter((id) => !known.has(id));
    for (const name of [...unknown, ...names.filter((each) => each.endsWith(PART_EXTENSION))]) {
      if (await removeOlder(name, olderThanMs)) removed += 1;
    }
  }
  return removed;
}

async function removeMissing(signal: AbortSignal): Promise<number> {
  // Where the whole folder has gone, a disk is not mounted rather than every file lost.
  if (!(await isThere(filesFolder()))) return 0;
  let removed = 0;
  for (let after = ''; ; ) {
    if (signal.aborted) return removed;
    const rows = await query((db) =>
      db.file.findMany({
        where: { id: { gt: after } },
        select: { id: true },
        orderBy: { id: 'asc' },
        take: PAGE_ROWS,
      }),
    );
    const lost: string[] = [];
    for (const { id } of rows) if (!(await isThere(pathOfFile(id)))) lost.push(id);
    if (lost.length > 0) removed += await removeFiles(lost);
    if (rows.length < PAGE_ROWS) return removed;
    after = rows.at(-1)?.id ?? after;
  }
}
