import { afterAll, expect, it } from 'vitest';
import { addModels, findModelById, getModel, resolveModelIds } from '@/features/models/models';
import { defaultModels } from '@/features/models/schema';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

it('tells that there are no models before the first start', async () => {
  await expect(resolveModelIds(['gemini-2.5-pro'])).rejects.toThrow('There are no models yet');
});

it('resolves ids and aliases, and names the known models where one is unknown', async () => {
  await addModels(defaultModels);
  expect(await resolveModelIds(['auto', 'gemini-2.5-pro', 'gemini-enterprise'])).toEqual([
    'gemini-enterprise',
    'gemini-2.5-pro',
  ]);
  expect(await resolveModelIds([])).toEqual([]);
  await expect(resolveModelIds(['gpt-5', 'auto', 'nope'])).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringMatching(
      /no model "gpt-5", "nope"\. Known models: gemini-enterprise, gemini-2\.5-flash, /,
    ),
  });
});

it('finds by id what is allowed, and no alias', async () => {
  expect(await findModelById(null, 'gemini-enterprise')).toMatchObject({ id: 'gemini-enterprise' });
  expect(await findModelById(['gemini-2.5-pro'], 'gemini-enterprise')).toBeNull();
  expect(await findModelById(null, 'auto')).toBeNull();
  expect(await findModelById(null, '')).toBeNull();
  expect(await getModel(null, 'auto')).toMatchObject({ id: 'gemini-enterprise' });
});
