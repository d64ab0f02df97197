import type { Stats } from 'node:fs';
import { opendir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as breath } from 'node:timers/promises';

/** What the disk tells of a file; null if there is none. @throws the disk's other errors */
export async function statOf(file: string): Promise<Stats | null> {
  try {
    return await stat(/*turbopackIgnore: true*/ file);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** False only if there is surely nothing: a disk that can't be read tells nothing. */
export async function isThere(file: string): Promise<boolean> {
  try {
    return (await statOf(file)) !== null;
  } catch {
    return true;
  }
}

/**
 * The names of the files in a folder without hidden ones, some at a time, between which others run,
 * and until `signal` says stop; none if there is no folder.
 */
export async function* namePages(
  folder: string,
  pageSize: number,
  signal: AbortSignal,
): AsyncGenerator<string[], void, undefined> {
  const names = signal.aborted ? [] : await namesIn(folder);
  for (let first = 0; first < names.length && !signal.aborted; first += pageSize) {
    if (first > 0) await breath();
    yield names.slice(first, first + pageSize);
  }
}

/** All of them first: a folder that is changed while it is listed may leave some out. */
async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    const entries = await opendir(/*turbopackIgnore: true*/ folder, { bufferSize: 512 });
    for await (const entry of entries) {
      if (entry.isFile() && !entry.name.startsWith('.')) names.push(entry.name);
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return names;
}

/** Removes a file that was last written before `timeMs`. @returns whether it went */
export async function removeOlder(folder: string, name: string, timeMs: number): Promise<boolean> {
  const file = path.join(/*turbopackIgnore: true*/ folder, name);
  const found = await statOf(file);
  if (found === null || found.mtimeMs >= timeMs) return false;
  await rm(file, { force: true });
  return true;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
