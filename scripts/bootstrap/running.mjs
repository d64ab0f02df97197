/** Tells whether a server uses the data folder. */
import fs from 'node:fs';
import path from 'node:path';
import { ScriptFailure } from './project.mjs';

/**
 * Ends a second start before it builds over the running server or changes its data. The server
 * itself takes the lock for good (src/platform/lock.ts); this only looks. Needs the packages.
 * @throws {ScriptFailure} when a server runs on DATA_DIR, or its lock file can't be used.
 */
export async function refuseIfServerRuns() {
  const lockFile = path.join(process.env.DATA_DIR, 'lock.db');
  if (!fs.existsSync(lockFile)) return;
  const { default: Database } = await import('libsql');
  let database;
  try {
    database = new Database(lockFile, { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    database.exec('ROLLBACK');
  } catch (error) {
    throw failureOf(error, lockFile);
  } finally {
    database?.close();
  }
}

function failureOf({ code, message }, lockFile) {
  if (code?.startsWith('SQLITE_BUSY')) {
    return new ScriptFailure(
      `Another server already uses the data folder ${process.env.DATA_DIR}`,
      'stop it first, or give this one a folder of its own with DATA_DIR',
    );
  }
  if (code === 'SQLITE_NOTADB' || code === 'SQLITE_CORRUPT') {
    return new ScriptFailure(
      `The lock file ${lockFile} is damaged`,
      'delete it and start again: it holds no data',
    );
  }
  return new ScriptFailure(
    `The lock file ${lockFile} can't be used (${message})`,
    'let this user write to its folder, or choose another folder with DATA_DIR',
  );
}
