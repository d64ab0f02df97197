import fs from 'node:fs';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { listModels } from '@/features/models/models';
import { openDataFolder } from '@/features/settings/data-folder';
import { settings } from '@/features/settings/settings';
import { prepareFirstStart } from '@/features/transfer/first-start';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

const dataDir = newDataFolder();
const proxyUrl = 'http://127.0.0.1:1';
process.env.DATA_DIR = dataDir;
process.env.PROXY_URL = proxyUrl;
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const file = path.join(dataDir, 'business_gemini_session.json');
const stored = () =>
  query((db) =>
    db.$transaction([
      db.account.count(),
      db.model.count(),
      db.setting.count({ where: { name: { in: ['proxyUrl', 'first_start_at'] } } }),
    ]),
  );

it.each(['{"accounts": [', '{}', ''])('stores nothing of a file that holds %j', async (text) => {
  await openDataFolder();
  fs.writeFileSync(file, text);
  await expect(prepareFirstStart()).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringMatching(/business_gemini_session\.json can't .*Repair .*move it away/),
  });
  expect(await stored()).toEqual([0, 0, 0]);
});

it('names a file of the current folder as it is seen from there', async () => {
  fs.rmSync(file, { force: true });
  const before = process.cwd();
  process.chdir(path.dirname(dataDir));
  try {
    fs.writeFileSync(file, 'broken');
    await expect(prepareFirstStart()).rejects.toThrow(
      new RegExp(`^${path.basename(dataDir)}/business_gemini_session\\.json can't`),
    );
  } finally {
    process.chdir(before);
  }
});

it('goes on once the file is mended', async () => {
  const models = [{ id: 'mine' }];
  fs.writeFileSync(file, JSON.stringify({ accounts: [], models, proxy_enabled: false }));
  await prepareFirstStart();
  expect((await listModels(null)).map(({ id }) => id)).toEqual(['mine']);
  expect(await settings()).toMatchObject({ proxyUrl });
  fs.writeFileSync(file, 'broken again, which nobody reads any more');
  await prepareFirstStart();
});
