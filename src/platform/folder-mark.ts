import { access, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { log } from '@/platform/log';
import { makeFolder } from '@/platform/make-folder';

/** The file that tells a folder of ours from the empty place where its disk is to be mounted. */
const FOLDER_MARK = '.pool-folder';

const TEXT =
  'Files in this folder have rows in the database. Without this file nothing is cleaned.\n';

/**
 * Makes a folder whose files have rows, where it is missing. It gets its mark as long as it `hasRows`
 * not: later on a folder without one is another than that which the rows tell of.
 * @throws AppError `conflict` if it can't be made
 */
export async function makeMarkedFolder(
  folder: string,
  hasRows: () => Promise<boolean>,
): Promise<void> {
  makeFolder(folder);
  if ((await isMarked(folder)) || (await hasRows())) return;
  await writeFile(markOf(folder), TEXT, { mode: 0o600 });
}

/**
 * Whether rows and files may be compared, and what has lost its other half be removed: the folder has
 * its mark. If there are rows and no mark, the log tells the operator what to do.
 */
export async function isSafeToClean(
  folder: string,
  hasRows: () => Promise<boolean>,
): Promise<boolean> {
  if (await isMarked(folder)) return true;
  if (await hasRows()) {
    log().error(
      { folder },
      'nothing is cleaned: this is not the folder that the database tells of. Mount its disk; if it ' +
        `is the right one after all, put an empty file named ${FOLDER_MARK} into it`,
    );
  }
  return false;
}

async function isMarked(folder: string): Promise<boolean> {
  try {
    await access(/*turbopackIgnore: true*/ markOf(folder));
    return true;
  } catch {
    return false;
  }
}

function markOf(folder: string): string {
  return path.join(/*turbopackIgnore: true*/ folder, FOLDER_MARK);
}
