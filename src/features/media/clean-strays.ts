import { rm } from 'node:fs/promises';
import path from 'node:path';
import {
  type CleaningRun,
  deleteRows,
  filePages,
  PAGE_ROWS,
  removed,
  removedOld,
  rowPages,
  stored,
  YOUNG_MS,
} from '@/features/media/cleaning-run';
import { firstIdOf, type MediaKind } from '@/features/media/media';
import {
  kindFolder,
  mediaFile,
  THUMBNAIL_EXTENSION,
  thumbnailFolder,
} from '@/features/media/media-folder';
import type { Media as MediaRow } from '@/generated/prisma/client';
import { query } from '@/platform/db';
import { isThere } from '@/platform/folder';
import { PART_EXTENSION } from '@/platform/incoming-file';

/** Removes files of a kind that no row knows, an hour after their last change; notes the others. */
export async function removeFilesWithoutRow(run: CleaningRun, kind: MediaKind): Promise<void> {
  const folder = kindFolder(kind);
  for await (const names of filePages(run, folder)) {
    const rows = await query((db) =>
      db.media.findMany({
        where: { kind, name: { in: names } },
        select: { name: true, bytes: true },
      }),
    );
    for (const { name, bytes } of rows) run.local.set(name, bytes);
    const known = new Set(rows.map(({ name }) => name));
    for (const name of names) {
      if (known.has(name) || !(await removedOld(run, folder, name))) continue;
      if (name.endsWith(PART_EXTENSION)) run.counts.unfinished += 1;
      else run.counts.filesWithoutRow += 1;
    }
  }
}

/** Removes what was begun in `folder` and not gone on with for an hour. */
export async function removeUnfinished(run: CleaningRun, folder: string): Promise<void> {
  for await (const names of filePages(run, folder)) {
    for (const name of names) {
      if (!name.endsWith(PART_EXTENSION)) continue;
      if (await removedOld(run, folder, name)) run.counts.unfinished += 1;
    }
  }
}

/** Removes rows of a kind, older than an hour, whose file was not noted; not of what the bucket has. */
export async function removeRowsWithoutFile(run: CleaningRun, kind: MediaKind): Promise<void> {
  const end = firstIdOf(run.nowMs - YOUNG_MS);
  const pages = rowPages(run, (after) =>
    query((db) =>
      db.media.findMany({
        where: {
          kind,
          inBucket: false,
          AND: [{ id: { lt: end } }, { id: { gt: after?.id ?? '' } }],
        },
        orderBy: { id: 'asc' },
        take: PAGE_ROWS,
      }),
    ),
  );
  for await (const rows of pages) {
    const lost = rows.filter(({ name }) => !run.local.has(name)).map((row) => lostRow(row));
    run.counts.rowsWithoutFile += await deleteRows(await Promise.all(lost));
  }
}

/** The id of the row if its file is really not there; null if it is. */
async function lostRow(row: MediaRow): Promise<string | null> {
  const { kind, name } = stored(row);
  return (await isThere(mediaFile(kind, name))) ? null : row.id;
}

/** Removes thumbnails of media that are gone. */
export async function removeThumbnails(run: CleaningRun): Promise<void> {
  const folder = thumbnailFolder();
  const mediumOf = (name: string) => name.slice(0, -THUMBNAIL_EXTENSION.length);
  for await (const names of filePages(run, folder)) {
    const media = names.filter((name) => name.endsWith(THUMBNAIL_EXTENSION)).map(mediumOf);
    const rows = await query((db) =>
      db.media.findMany({ where: { name: { in: media } }, select: { name: true } }),
    );
    const known = new Set(rows.map(({ name }) => name));
    for (const name of names) {
      if (name.endsWith(PART_EXTENSION)) {
        if (await removedOld(run, folder, name)) run.counts.unfinished += 1;
      } else if (!known.has(mediumOf(name))) {
        const file = path.join(/*turbopackIgnore: true*/ folder, name);
        if (await removed(run, () => rm(file, { force: true }))) {
          run.counts.thumbnailsWithoutMedium += 1;
        }
      }
    }
  }
}
