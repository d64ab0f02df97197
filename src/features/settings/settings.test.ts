import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { settings, updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { loadEncryptionKey } from '@/platform/crypto';
import { closeDatabase, query } from '@/platform/db';
import { log } from '@/platform/log';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

beforeAll(() => loadEncryptionKey(true));
afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

it('keeps the other settings when a secret one can not be decrypted, and names it', async () => {
  const proxyUrl = 'http://user:word@127.0.0.1:1';
  await updateSettings({ proxyUrl, maxTries: 3 });
  expect(await settings()).toMatchObject({ proxyUrl, maxTries: 3 });

  const error = vi.spyOn(log(), 'error');
  await query((db) =>
    db.setting.update({ where: { name: 'proxyUrl' }, data: { value: 'v1.sealedElsewhere' } }),
  );
  await updateSettings({ timeZone: 'Asia/Shanghai' });
  expect(await settings()).toMatchObject({
    proxyUrl: null,
    maxTries: 3,
    timeZone: 'Asia/Shanghai',
  });
  expect(error).toHaveBeenCalledWith(
    expect.objectContaining({ setting: 'proxyUrl' }),
    expect.any(String),
  );
});
