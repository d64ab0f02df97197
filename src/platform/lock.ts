import path from 'node:path';
import Database from 'libsql';
import { AppError } from '@/platform/errors';
import { makeFolder } from '@/platform/make-folder';
import { processState } from '@/platform/process-state';

/**
 * Makes the data folder where it is missing and takes it for this process until it ends, however it
 * ends: the lock is an exclusive SQLite transaction on `lock.db`, which the kernel frees with the
 * process. Never open that file by other means in the holder (a copy of the folder!): closing it
 * would drop the lock.
 * @throws AppError `conflict` if another process holds it, or it can't be taken at all
 */
export function lockDataFolder(dataDir: string): void {
  processState(`lock ${dataDir}`, () => {
    makeFolder(dataDir);
    const file = path.join(/*turbopackIgnore: true*/ dataDir, 'lock.db');
    let connection: Database.Database | null = null;
    try {
      connection = new Database(file, { timeout: 0 });
      connection.exec('BEGIN EXCLUSIVE');
      return connection;
    } catch (error) {
      connection?.close();
      throw new AppError('conflict', whyNotLocked(error, file, dataDir), { cause: error });
    }
  });
}

function whyNotLocked(error: unknown, file: string, dataDir: string): string {
  const { code, message } = error as { code?: string; message: string };
  if (code?.startsWith('SQLITE_BUSY')) {
    return `Another server already uses the data folder ${dataDir}. Stop it first, or give this one a folder of its own with DATA_DIR.`;
  }
  if (code === 'SQLITE_NOTADB' || code === 'SQLITE_CORRUPT') {
    return `The lock file ${file} is damaged. It holds no data: delete it and start again.`;
  }
  return `The lock file ${file} can't be used (${message}). Let this user write to the folder ${dataDir}, or choose another one with DATA_DIR.`;
}
