import { afterAll, expect, it, vi } from 'vitest';
import { cachedTable, reloadTable, stampChange, stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { log } from '@/platform/log';
import { newDataFolder } from '../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const stamp = (name: string) => query((db) => db.$transaction([stampChange(db, name)]));

it('sees what was written before the call, also while a load is under way', async () => {
  let stored = 'old';
  const release: (() => void)[] = [];
  const load = async () => {
    const read = stored;
    await new Promise<void>((resolve) => release.push(resolve));
    return read;
  };
  const letOneGo = async () => {
    while (release.length === 0) await after(5);
    release.shift()?.();
  };
  const first = reloadTable('written', load);
  while (release.length === 0) await after(5);
  stored = 'new';
  const second = reloadTable('written', load);
  const third = reloadTable('written', load);
  await letOneGo();
  expect(await first).toBe('old');
  await letOneGo();
  expect(await Promise.all([second, third])).toEqual(['new', 'new']);
  expect(release).toHaveLength(0);
  expect(cachedTable('written', load)).toBe('new');
});

it('loads anew although the load before failed', async () => {
  const load = vi.fn(async () => 'value');
  load.mockRejectedValueOnce(new Error('no'));
  const first = reloadTable('failing', load);
  const second = reloadTable('failing', load);
  await expect(first).rejects.toThrow('no');
  expect(await second).toBe('value');
});

it('follows the other tables when one can not be loaded, and warns once', async () => {
  const warn = vi.spyOn(log(), 'warn');
  const info = vi.spyOn(log(), 'info');
  let broken = false;
  const loadBroken = async () => {
    if (broken) throw new Error('no');
    return 'well';
  };
  let loads = 0;
  const loadWell = async () => ++loads;
  await Promise.all([cachedTable('a-broken', loadBroken), cachedTable('b-well', loadWell)]);
  broken = true;
  await stamp('a-broken');
  await stamp('b-well');
  await after(1_700);
  expect(cachedTable('b-well', loadWell)).toBe(2);
  expect(cachedTable('a-broken', loadBroken)).toBe('well');
  expect(warn).toHaveBeenCalledTimes(1);
  expect(info).not.toHaveBeenCalled();
  broken = false;
  await after(1_200);
  expect(warn).toHaveBeenCalledTimes(1);
  expect(info).toHaveBeenCalledTimes(1);
});
