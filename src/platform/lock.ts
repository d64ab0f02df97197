import path from 'node:path';
import Database from 'libsql';
import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';

/**
 * Takes the data folder for this process until it ends, however it ends: the lock is an exclusive
 * SQLite transaction on `lock.db`, which the kernel frees with the process. Never open that file
 * by other means in the holder (a copy of the folder!): closing it would drop the lock.
 * @throws AppError `conflict` if another process holds it
 */
export function lockDataFolder(dataDir: string): void {
  processState('data-folder-lock', () => {
    const connection = new Database(path.join(/*turbopackIgnore: true*/ dataDir, 'lock.db'), {
      timeout: 0,
    });
    try {
      connection.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      connection.close();
      throw new AppError(
        'conflict',
        `Another server already uses the data folder ${dataDir}. Stop it first, or give this one a folder of its own with DATA_DIR.`,
        { cause: error },
      );
    }
    return connection;
  });
}
