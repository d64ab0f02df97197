import { hasObject, objectName } from '@/features/media/bucket';
import {
  removeFilesWithoutRow,
  removeRowsWithoutFile,
  removeThumbnails,
  removeUnfinished,
} from '@/features/media/clean-strays';
import {
  type CleanedMedia,
  type CleaningRun,
  deleteRows,
  PAGE_ROWS,
  removed,
  rowPages,
  stored,
} from '@/features/media/cleaning-run';
import { firstIdOf, type MediaKind } from '@/features/media/media';
import { isKindFolderSafe, mediaFolder } from '@/features/media/media-folder';
import { holdForRemoval } from '@/features/media/media-readers';
import { removeLocal, removeStored } from '@/features/media/remove-stored';
import { bucketConfig } from '@/features/media/storage-config';
import { settings } from '@/features/settings/settings';
import type { Media as MediaRow } from '@/generated/prisma/client';
import { query } from '@/platform/db';

const HOUR_MS = 3_600_000;

/**
 * Cleans the media folder and its table: what is too old, what is too much, and what has lost its
 * other half. A medium that is being read stays. It goes page by page, between which requests run,
 * until `signal` says stop.
 */
export async function cleanMedia(nowMs: number, signal: AbortSignal): Promise<CleanedMedia> {
  const counts: CleanedMedia = {
    expired: 0,
    evicted: 0,
    rowsWithoutFile: 0,
    filesWithoutRow: 0,
    thumbnailsWithoutMedium: 0,
    unfinished: 0,
    failed: 0,
  };
  const run: CleaningRun = { nowMs, signal, counts, local: new Map() };
  const { imageRetentionHours, videoRetentionHours, maxMediaBytes } = await settings();
  const retentions = [
    ['image', imageRetentionHours],
    ['video', videoRetentionHours],
  ] as const;
  for (const [kind, hours] of retentions) {
    // Of a disk that is not mounted, all rows would seem lost; and once it is back, all files.
    if (!(await isKindFolderSafe(kind))) continue;
    await removeExpired(run, kind, hours);
    await removeFilesWithoutRow(run, kind);
    await removeRowsWithoutFile(run, kind);
  }
  await removeUnfinished(run, mediaFolder());
  await makeRoom(run, maxMediaBytes);
  await removeThumbnails(run);
  return counts;
}

async function removeExpired(
  run: CleaningRun,
  kind: MediaKind,
  hours: number | null,
): Promise<void> {
  if (hours === null) return;
  const end = firstIdOf(run.nowMs - hours * HOUR_MS);
  const pages = rowPages(run, (after) =>
    query((db) =>
      db.media.findMany({
        where: { kind, AND: [{ id: { lt: end } }, { id: { gt: after?.id ?? '' } }] },
        orderBy: { id: 'asc' },
        take: PAGE_ROWS,
      }),
    ),
  );
  for await (const rows of pages) {
    const gone = await Promise.all(rows.map((row) => removeWhole(run, row)));
    run.counts.expired += await deleteRows(gone);
  }
}

/** Everything of a medium but its row. @returns the id of the row, null if it is to stay */
async function removeWhole(run: CleaningRun, row: MediaRow): Promise<string | null> {
  return (await unlessRead(run, row, () => removeStored(stored(row)))) ? row.id : null;
}

/** Runs `remove` on a medium that nobody reads. @returns whether it went */
async function unlessRead(
  run: CleaningRun,
  { name }: MediaRow,
  remove: () => Promise<void>,
): Promise<boolean> {
  const release = holdForRemoval(name);
  if (!release) return false;
  try {
    return await removed(run, remove);
  } finally {
    release();
  }
}

/** Removes the files of the least recently used media until the rest fits. */
async function makeRoom(run: CleaningRun, maxBytes: number): Promise<void> {
  let bytes = [...run.local.values()].reduce((sum, some) => sum + some, 0);
  if (bytes <= maxBytes) return;
  const isInBucket = bucketCheck();
  for await (const rows of leastRecentlyUsed(run)) {
    const gone: (string | null)[] = [];
    for (const row of rows) {
      if (bytes <= maxBytes) break;
      if (!run.local.has(row.name)) continue;
      if (await isInBucket(row)) {
        if (!(await unlessRead(run, row, () => removeLocal(stored(row))))) continue;
      } else {
        const id = await removeWhole(run, row);
        if (id === null) continue;
        gone.push(id);
      }
      bytes -= row.bytes;
      run.counts.evicted += 1;
    }
    await deleteRows(gone);
    if (bytes <= maxBytes) return;
  }
}

function leastRecentlyUsed(run: CleaningRun): AsyncGenerator<MediaRow[], void, undefined> {
  return rowPages(run, (after) =>
    query((db) =>
      db.media.findMany({
        where: after
          ? {
              OR: [
                { lastUsedAt: { gt: after.lastUsedAt } },
                { lastUsedAt: after.lastUsedAt, id: { gt: after.id } },
              ],
            }
          : {},
        orderBy: [{ lastUsedAt: 'asc' }, { id: 'asc' }],
        take: PAGE_ROWS,
      }),
    ),
  );
}

/** Tells of rows whether the bucket has their medium. */
function bucketCheck(): (row: MediaRow) => Promise<boolean> {
  let isAnswering = true;
  return async (row) => {
    // The row is noted before the upload, which a crash may have cut off.
    if (!row.inBucket || !isAnswering) return row.inBucket;
    try {
      const config = await bucketConfig();
      return config !== null && (await hasObject(config, objectName(stored(row))));
    } catch {
      // One that does not answer still has what it has.
      isAnswering = false;
      return true;
    }
  };
}
