import { setImmediate as breath } from 'node:timers/promises';
import type { StoredMedia } from '@/features/media/remove-stored';
import type { Media as MediaRow } from '@/generated/prisma/client';
import { query } from '@/platform/db';
import { namePages, removeOlder } from '@/platform/folder';
import { log } from '@/platform/log';

/** What is younger may still be about to get its row or its file. */
export const YOUNG_MS = 3_600_000;
/** So many hold the event loop for some milliseconds. */
export const PAGE_ROWS = 100;

/** How much went, and why. */
export interface CleanedMedia {
  /** Older than the retention. */
  expired: number;
  /** The least recently used of too much; with a bucket, their copies on our disk. */
  evicted: number;
  rowsWithoutFile: number;
  filesWithoutRow: number;
  thumbnailsWithoutMedium: number;
  /** Half-written ones. */
  unfinished: number;
  /** What could not be removed; it is tried again next time. */
  failed: number;
}

/** A clean-up under way. */
export interface CleaningRun {
  nowMs: number;
  signal: AbortSignal;
  counts: CleanedMedia;
  /** The media whose file is on our disk, by name, with their bytes. */
  local: Map<string, number>;
}

/** What a row tells of where its medium is. */
export function stored({ kind, name, inBucket }: MediaRow): StoredMedia {
  return { kind: kind === 'video' ? 'video' : 'image', name, inBucket };
}

/** Pages of rows; `read` gets the last row of the page before. */
export async function* rowPages(
  { signal }: CleaningRun,
  read: (after: MediaRow | null) => Promise<MediaRow[]>,
): AsyncGenerator<MediaRow[], void, undefined> {
  for (let after: MediaRow | null = null; !signal.aborted; ) {
    const rows: MediaRow[] = await read(after);
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE_ROWS) return;
    after = rows.at(-1) ?? null;
    await breath();
  }
}

/** Pages of the names of the files in a folder. */
export function filePages({ signal }: CleaningRun, folder: string) {
  return namePages(folder, PAGE_ROWS, signal);
}

/** Removes a file that was not changed for an hour. @returns whether it went */
export async function removedOld(run: CleaningRun, folder: string, name: string): Promise<boolean> {
  let isGone = false;
  const isDone = await removed(run, async () => {
    isGone = await removeOlder(folder, name, run.nowMs - YOUNG_MS);
  });
  return isDone && isGone;
}

/** False if it failed: one that can't be removed keeps no other back. */
export async function removed(
  { counts }: CleaningRun,
  remove: () => Promise<void>,
): Promise<boolean> {
  try {
    await remove();
    return true;
  } catch (error) {
    if (counts.failed === 0) log().warn({ err: error }, 'a medium could not be cleaned away');
    counts.failed += 1;
    return false;
  }
}

/** Deletes these rows. @returns how many */
export async function deleteRows(ids: (string | null)[]): Promise<number> {
  const gone = ids.filter((id) => id !== null);
  if (gone.length === 0) return 0;
  const { count } = await query((db) => db.media.deleteMany({ where: { id: { in: gone } } }));
  return count;
}
