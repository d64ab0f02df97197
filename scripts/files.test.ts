import path from 'node:path';
import Database from 'libsql';
import { expect, it } from 'vitest';
import { createKey, runCommand } from '../e2e/support/commands';
import { newDataFolder } from '../e2e/support/data-folder';

const dataDir = newDataFolder();
const files = (...args: string[]) => runCommand('files', args, dataDir);

it('lists files by key, and deletes one', async () => {
  await createKey(dataDir, 'mine');
  const id = `file-${'0'.repeat(26)}`;
  const database = new Database(path.join(dataDir, 'pool.db'));
  const row = `SELECT '${id}', "id", 'a.txt', 'vision', 'text/plain', 3, '2026-01-02T03:04:05.000Z'`;
  database.exec(`INSERT INTO "File" ("id", "apiKeyId", "filename", "purpose", "mimeType", "bytes",
    "createdAt") ${row} FROM "ApiKey"`);
  database.close();
  expect(await files('list', '--key', 'mine')).toMatch(
    new RegExp(`^${id} +a\\.txt +vision +text/plain +3 +mine +2026-01-02 03:04 +-$`, 'm'),
  );
  await expect(files('list', '--key', 'other')).rejects.toThrow('There is no key named other.');
  expect(await files('delete', id)).toContain(`${id} is deleted.`);
  expect(await files('list')).toContain('There are no files.');
});
