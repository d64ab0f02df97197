/** Tells whether a server uses the data folder. */
import fs from 'node:fs';
import path from 'node:path';
import { ScriptFailure } from './project.mjs';

/**
 * Ends a second start before it builds over the running server or changes its data. The server
 * itself takes the lock for good (src/platform/lock.ts); this only looks. Needs the packages.
 * @throws {ScriptFailure} when a server runs on DATA_DIR.
 */
export async function refuseIfServerRuns() {
  const lockFile = path.join(process.env.DATA_DIR, 'lock.db');
  if (!fs.existsSync(lockFile)) return;
  const { default: Database } = await import('libsql');
  const database = new Database(lockFile, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
    database.exec('ROLLBACK');
  } catch {
    throw new ScriptFailure(
      `Another server already uses the data folder ${process.env.DATA_DIR}`,
      'stop it first, or give this one a folder of its own with DATA_DIR',
    );
  } finally {
    database.close();
  }
}
