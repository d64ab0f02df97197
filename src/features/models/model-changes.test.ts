import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createModel,
  deleteModel,
  listAllModels,
  removeAlias,
  setAlias,
  setAllowedAccounts,
  updateModel,
} from '@/features/models/model-changes';
import { addModels, getModel, listModels } from '@/features/models/models';
import { defaultModels, type ModelOptions } from '@/features/models/schema';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

beforeAll(async () => {
  await openDataFolder();
  await addModels(defaultModels);
});

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const idOf = async (name: string) => (await getModel(null, name)).id;
const summaryOf = async (id: string) => (await listAllModels()).find((model) => model.id === id);
const ids = async () => (await listModels(null)).map(({ id }) => id);

describe('a new model', () => {
  it('is the last, with defaults for what is left out', async () => {
    await createModel('my/model', {
      maxTokens: 100,
      tools: ['image', 'image'],
      description: undefined,
    });
    expect(await getModel(null, 'my/model')).toMatchObject({
      displayName: 'my/model',
      description: '',
      upstreamModelId: 'my/model',
      tools: ['image'],
      quotaKind: 'images',
      maxTokens: 100,
      pricePer1kTokens: 0,
      accountIds: [],
    });
    expect((await ids()).at(-1)).toBe('my/model');
    expect((await ids()).length).toBe(defaultModels.length + 1);
  });

  it('needs a name that nothing else has', async () => {
    const conflict = { code: 'conflict' };
    await expect(createModel('gemini-2.5-pro', {})).rejects.toMatchObject(conflict);
    await expect(createModel('auto', {})).rejects.toMatchObject(conflict);
    for (const id of ['', 'a b', 'a,b', 'a\nb', 'x'.repeat(201)]) {
      const invalid = { code: 'invalid_request', param: 'id' };
      await expect(createModel(id, {})).rejects.toMatchObject(invalid);
    }
  });
});

describe('a change', () => {
  it('is in force at once, and leaves the rest', async () => {
    const before = await summaryOf('gemini-2.5-flash');
    await updateModel('gemini-2.5-flash', {
      displayName: 'Fast',
      pricePer1kTokens: 0.5,
      tools: [],
      upstreamModelId: null,
      position: 0,
    });
    expect(await summaryOf('gemini-2.5-flash')).toEqual({
      ...before,
      displayName: 'Fast',
      pricePer1kTokens: 0.5,
      tools: [],
      upstreamModelId: null,
      position: 0,
    });
    expect((await ids()).slice(0, 2)).toEqual(['gemini-2.5-flash', 'gemini-enterprise']);
  });

  it('can take a model out of use, which stays for the operator', async () => {
    await updateModel('gemini-3.8-flash', { enabled: false });
    await expect(idOf('gemini-3.8-flash')).rejects.toMatchObject({ code: 'model_not_found' });
    expect(await summaryOf('gemini-3.8-flash')).toMatchObject({ enabled: false });
    await updateModel('gemini-3.8-flash', { enabled: true });
    expect(await idOf('gemini-3.8-flash')).toBe('gemini-3.8-flash');
  });

  it.each<[string, object]>([
    ['displayName', { displayName: ' ' }],
    ['upstreamModelId', { upstreamModelId: 'a b' }],
    ['tools', { tools: ['time_travel'] }],
    ['contextLength', { contextLength: 0 }],
    ['maxTokens', { maxTokens: 1.5 }],
    ['pricePer1kTokens', { pricePer1kTokens: -1 }],
    ['pricePer1kTokens', { pricePer1kTokens: Number.NaN }],
    ['enabled', { enabled: 'maybe' }],
    ['position', { position: -1 }],
  ])('of %s has to make sense', async (param, options) => {
    const before = await listAllModels();
    const changed = updateModel('gemini-2.5-pro', options as ModelOptions);
    await expect(changed).rejects.toMatchObject({ code: 'invalid_request', param });
    expect(await listAllModels()).toEqual(before);
  });

  it('needs a model', async () => {
    const missing = { code: 'not_found', message: expect.stringContaining('gemini-2.5-pro') };
    await expect(updateModel('nope', { maxTokens: 1 })).rejects.toMatchObject(missing);
    await expect(deleteModel('auto')).rejects.toMatchObject(missing);
    await expect(setAlias('new', 'nope')).rejects.toMatchObject(missing);
    await expect(setAllowedAccounts('nope', [])).rejects.toMatchObject(missing);
  });
});

describe('an alias', () => {
  it('stands for a model, and can be moved and taken away', async () => {
    await setAlias('gpt-4o', 'gemini-2.5-pro');
    expect(await idOf('gpt-4o')).toBe('gemini-2.5-pro');
    await setAlias('gpt-4o', 'gemini-2.5-flash');
    expect(await idOf('gpt-4o')).toBe('gemini-2.5-flash');
    expect((await summaryOf('gemini-2.5-flash'))?.aliases).toEqual(['gpt-4o']);
    expect(await ids()).not.toContain('gpt-4o');
    await removeAlias('gpt-4o');
    await expect(idOf('gpt-4o')).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(removeAlias('gpt-4o')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('can not hide a model', async () => {
    const conflict = { code: 'conflict' };
    await expect(setAlias('gemini-2.5-pro', 'gemini-enterprise')).rejects.toMatchObject(conflict);
  });

  it('goes with its model, and comes back with it only where it is not taken', async () => {
    await deleteModel('gemini-enterprise');
    await expect(idOf('auto')).rejects.toMatchObject({ code: 'model_not_found' });
    await setAlias('auto', 'gemini-2.5-pro');
    expect(await addModels(defaultModels)).toBe(1);
    expect(await idOf('auto')).toBe('gemini-2.5-pro');
    expect(await idOf('local-gemini-auto')).toBe('gemini-enterprise');
    expect((await ids()).at(-1)).toBe('gemini-enterprise');
  });
});

describe('the accounts of a model', () => {
  it('are a list, or every account', async () => {
    const one = 'account';
    const row = {
      id: one,
      label: one,
      csesidx: '1',
      configId: 'team',
      userAgent: '',
      secureCSes: '',
    };
    await query((db) => db.account.create({ data: row }));
    await setAllowedAccounts('gemini-2.5-pro', [one, one]);
    expect((await getModel(null, 'gemini-2.5-pro')).accountIds).toEqual([one]);
    const gone = setAllowedAccounts('gemini-2.5-pro', [one, 'gone']);
    await expect(gone).rejects.toMatchObject({ code: 'not_found' });
    expect((await getModel(null, 'gemini-2.5-pro')).accountIds).toEqual([one]);
    await setAllowedAccounts('gemini-2.5-pro', []);
    expect((await getModel(null, 'gemini-2.5-pro')).accountIds).toEqual([]);
    expect(await query((db) => db.modelAccount.count())).toBe(0);
  });
});
