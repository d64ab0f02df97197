import path from 'node:path';
import { setImmediate as breath } from 'node:timers/promises';
import { filesFolder, isFileId, isFilesFolderSafe, pathOfFile } from '@/features/files/file-folder';
import { removeFiles } from '@/features/files/files';
import { isWaiting } from '@/features/files/room';
import { keysOverBefore } from '@/features/keys/keys';
import { query } from '@/platform/db';
import { isThere, namePages, removeOlder } from '@/platform/folder';
import { PART_EXTENSION } from '@/platform/incoming-file';

const PAGE_ROWS = 200;
/** What is younger may be an upload under way, or one between its name and its row. */
const LITTER_AGE_MS = 3_600_000;

/** For so long after its key was revoked or has expired, an operator may still look for a file. */
const KEPT_AFTER_KEY_MS = 30 * 24 * 3_600_000;

/** How much went, and why. */
type CleanedFiles = {
  expired: number;
  /** Of keys that are out of use for 30 days. */
  ofOldKeys: number;
  /** Bytes that no row knows. */
  litter: number;
  /** Rows without bytes. */
  missing: number;
};

/**
 * Removes files that are over or that nobody can ask for any more, bytes that no row knows, and rows
 * without bytes, some at a time and until `signal` says stop.
 */
export async function cleanFiles(nowMs: number, signal: AbortSignal): Promise<CleanedFiles> {
  const counts = { expired: 0, ofOldKeys: 0, litter: 0, missing: 0 };
  // Of a disk that is not mounted, all rows would seem lost; and once it is back, all files.
  if (!(await isFilesFolderSafe())) return counts;
  counts.expired = await removeExpired(nowMs, signal);
  counts.ofOldKeys = await removeOfOldKeys(nowMs - KEPT_AFTER_KEY_MS, signal);
  counts.litter = await removeLitter(nowMs - LITTER_AGE_MS, signal);
  counts.missing = await removeMissing(signal);
  return counts;
}

function removeExpired(nowMs: number, signal: AbortSignal): Promise<number> {
  const where = { expiresAt: { lte: new Date(nowMs) } };
  return removeAll(signal, () =>
    query((db) => db.file.findMany({ where, select: { id: true }, take: PAGE_ROWS })),
  );
}

async function removeOfOldKeys(beforeMs: number, signal: AbortSignal): Promise<number> {
  const keys = JSON.stringify(await keysOverBefore(beforeMs));
  return removeAll(signal, () =>
    query(
      (db) => db.$queryRaw<{ id: string }[]>`SELECT "id" FROM "File" WHERE "apiKeyId" IN
        (SELECT value FROM json_each(${keys})) LIMIT ${PAGE_ROWS}`,
    ),
  );
}

/** Removes what `next` tells, until that is nothing. @returns how many */
async function removeAll(
  signal: AbortSignal,
  next: () => Promise<{ id: string }[]>,
): Promise<number> {
  for (let removed = 0; ; ) {
    if (signal.aborted) return removed;
    const rows = await next();
    if (rows.length === 0) return removed;
    removed += await removeFiles(rows.map(({ id }) => id));
    await breath();
  }
}

async function removeLitter(olderThanMs: number, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for await (const names of namePages(filesFolder(), PAGE_ROWS, signal)) {
    const ids = names.filter(isFileId);
    const rows = await query((db) =>
      db.file.findMany({ where: { id: { in: ids } }, select: { id: true } }),
    );
    const known = new Set(rows.map(({ id }) => id));
    const unknown = ids.filter((id) => !known.has(id));
    for (const name of [...unknown, ...names.filter(isForgotten)]) {
      if (await removeOlder(filesFolder(), name, olderThanMs)) removed += 1;
    }
  }
  return removed;
}

/** A half-written one, or one that nobody keeps for a request any more. */
function isForgotten(name: string): boolean {
  return name.endsWith(PART_EXTENSION) && !isWaiting(path.join(filesFolder(), name));
}

async function removeMissing(signal: AbortSignal): Promise<number> {
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
