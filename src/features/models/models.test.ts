import { afterAll, expect, it } from 'vitest';
import { addModels, findModel, getModel, resolveModelIds } from '@/features/models/models';
import { defaultModels, modelDefaults } from '@/features/models/schema';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
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

it('finds what is allowed, by id and by alias', async () => {
  expect(await findModel(null, 'gemini-enterprise')).toMatchObject({ id: 'gemini-enterprise' });
  expect(await findModel(['gemini-2.5-pro'], 'gemini-enterprise')).toBeNull();
  expect(await findModel(null, 'auto')).toMatchObject({ id: 'gemini-enterprise' });
  expect(await findModel(['gemini-2.5-pro'], 'auto')).toBeNull();
  expect(await findModel(null, '')).toBeNull();
  expect(await getModel(null, 'auto')).toMatchObject({ id: 'gemini-enterprise' });
});

it('says which tools a model may use, and what of the quotas that is', async () => {
  const own = { ...modelDefaults, displayName: '', upstreamModelId: null };
  await addModels([
    { ...own, id: 'draws', tools: ['image'] },
    { ...own, id: 'films', tools: ['video'] },
    { ...own, id: 'everything', tools: ['web_search', 'image', 'video'] },
    { ...own, id: 'nothing', tools: [] },
  ]);
  const shown = async (id: string) => {
    const { tools, quotaKind } = await getModel(null, id);
    return [tools, quotaKind];
  };
  expect(await shown('gemini-2.5-pro')).toEqual([['web_search'], 'text']);
  expect(await shown('draws')).toEqual([['image'], 'images']);
  expect(await shown('films')).toEqual([['video'], 'videos']);
  expect(await shown('everything')).toEqual([['web_search', 'image', 'video'], 'text']);
  expect(await shown('nothing')).toEqual([[], 'text']);
});

it.each([
  ['["video", "time_travel", 7, null, "video"]', ['video']],
  ['["time_travel"]', []],
  ['["web_', ['web_search']],
  ['', ['web_search']],
  ['{"image": true}', ['web_search']],
  ['null', ['web_search']],
  ['"image"', ['web_search']],
])('reads the tools %j of a row', async (stored, tools) => {
  const id = `row ${stored}`;
  const row = { id, displayName: '', contextLength: 1, maxTokens: 1, position: 99, tools: stored };
  await query((db) => db.model.create({ data: row }));
  await addModels([
    { ...modelDefaults, id: `after ${id}`, displayName: '', upstreamModelId: null },
  ]);
  expect(await getModel(null, id)).toMatchObject({ tools });
});
