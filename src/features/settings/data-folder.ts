import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { readMark, writeMark } from '@/features/settings/settings';
import { decrypt, encrypt, loadEncryptionKey } from '@/platform/crypto';
import { openDatabase, query } from '@/platform/db';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';

const CHECK_MARK = 'encryption_check';
const CHECK_TEXT = 'business-gemini-pool';

/**
 * Opens the data folder: folder, database and encryption key. What the server and every command
 * begin with.
 * @throws AppError if the tables are missing, or the key is missing or another one
 */
export async function openDataFolder(): Promise<void> {
  const { dataDir } = env();
  mkdirSync(/*turbopackIgnore: true*/ dataDir, { recursive: true, mode: 0o700 });
  for (const kind of ['image', 'video']) {
    mkdirSync(path.join(/*turbopackIgnore: true*/ dataDir, 'media', kind), { recursive: true });
  }
  await openDatabase();
  const check = await readCheck();
  loadEncryptionKey(check === null);
  if (check === null) {
    await query((db) => writeMark(db, CHECK_MARK, encrypt(CHECK_TEXT)));
  } else if (decrypt(check) !== CHECK_TEXT) {
    throw new AppError('conflict', 'The encryption check in the database is not ours.');
  }
}

async function readCheck(): Promise<string | null> {
  try {
    return await readMark(CHECK_MARK);
  } catch (error) {
    if (!/no such table/i.test(String(error))) throw error;
    throw new AppError(
      'conflict',
      'The database has no tables yet. Run: npx prisma migrate deploy',
      {
        cause: error,
      },
    );
  }
}
