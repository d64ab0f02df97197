import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { newDataFolder, newFolder } from '../../../e2e/support/data-folder';
import { resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.LOG_LEVEL = 'silent';

/** Each test is a process of its own, as far as the product can tell. */
afterEach(async () => {
  stopCachedTables();
  await closeDatabase();
  resetProcessState();
});

async function refusal(dataDir: string): Promise<unknown> {
  process.env.DATA_DIR = dataDir;
  return openDataFolder().catch((error: unknown) => error);
}

it('names a DATA_DIR that is a file', async () => {
  const file = path.join(newFolder('data'), 'file');
  fs.writeFileSync(file, '');
  expect(await refusal(file)).toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(`The folder ${file} can't be made: a file is in the way`),
  });
});

it.each(['no SQLite database', 'a damaged one'])('names a pool.db that is %s', async (how) => {
  const dataDir = newDataFolder();
  const file = path.join(dataDir, 'pool.db');
  const bytes = fs.readFileSync(file);
  fs.writeFileSync(
    file,
    how === 'a damaged one' ? bytes.fill(0x7f, 100, 4_096) : 'x'.repeat(5_000),
  );
  expect(await refusal(dataDir)).toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(`The database ${file} is damaged`),
  });
});

it('names a pool.db that can not be opened', async () => {
  const dataDir = newFolder('data');
  fs.mkdirSync(path.join(dataDir, 'pool.db'));
  expect(await refusal(dataDir)).toMatchObject({
    code: 'conflict',
    message: expect.stringContaining("can't be opened for writing"),
  });
});

it('opens a good one, again and again, with the same key', async () => {
  const dataDir = newDataFolder();
  for (let count = 0; count < 2; count++) {
    expect(await refusal(dataDir)).toBeUndefined();
    await closeDatabase();
  }
});
