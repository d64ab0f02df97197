import { chmodSync, existsSync } from 'node:fs';
import path from 'node:path';
import { readMark, writeMark } from '@/features/settings/settings';
import { decrypt, encrypt, KEY_FILE, loadEncryptionKey } from '@/platform/crypto';
import { openDatabase, query } from '@/platform/db';
import { databaseFile, env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { makeFolder } from '@/platform/make-folder';

const CHECK_MARK = 'encryption_check';
const CHECK_TEXT = 'business-gemini-pool';

/**
 * Opens the data folder: folder, database and encryption key. What the server and every command
 * begin with.
 * @throws AppError if the folder can't be made, the database is damaged or its tables are missing,
 *   or the key is missing, damaged or another one
 */
export async function openDataFolder(): Promise<void> {
  const { dataDir } = env();
  makeFolder(dataDir);
  for (const kind of ['image', 'video']) {
    makeFolder(path.join(/*turbopackIgnore: true*/ dataDir, 'media', kind));
  }
  const check = await readCheck();
  keepToOwner();
  loadEncryptionKey(check === null);
  if (check === null) {
    await query((db) => writeMark(db, CHECK_MARK, encrypt(CHECK_TEXT)));
  } else if (decrypt(check) !== CHECK_TEXT) {
    throw new AppError('conflict', 'The encryption check in the database is not ours.');
  }
}

/** The database holds names, mail addresses and hashes: whatever the folder's mode, it is ours alone. */
function keepToOwner(): void {
  const database = databaseFile();
  const key = path.join(/*turbopackIgnore: true*/ env().dataDir, KEY_FILE);
  for (const file of [database, `${database}-wal`, `${database}-shm`, key]) {
    if (existsSync(/*turbopackIgnore: true*/ file))
      chmodSync(/*turbopackIgnore: true*/ file, 0o600);
  }
}

async function readCheck(): Promise<string | null> {
  try {
    await openDatabase();
    return await readMark(CHECK_MARK);
  } catch (error) {
    const mend = mendOf(String(error));
    if (mend === null) throw error;
    throw new AppError('conflict', mend, { cause: error });
  }
}

/** Null for what the operator can't mend. */
function mendOf(failure: string): string | null {
  const file = databaseFile();
  if (/no such table/i.test(failure)) {
    return 'The database has no tables yet. Run: npx prisma migrate deploy';
  }
  if (/SQLITE_NOTADB|SQLITE_CORRUPT|not a database|is malformed/i.test(failure)) {
    return `The database ${file} is damaged, or no SQLite database at all. Put it back from a backup; or move it away together with its -wal and -shm files: npm start then makes a new, empty one.`;
  }
  if (/SQLITE_CANTOPEN|SQLITE_READONLY|unable to open|readonly database/i.test(failure)) {
    return `The database ${file} can't be opened for writing. Let this user write to it and to its folder, or choose another place with DATA_DIR or DATABASE_URL.`;
  }
  return null;
}
