import { afterAll, expect, it } from 'vitest';
import {
  deleteAccount,
  listAccounts,
  saveAccounts,
  setOptions,
} from '@/features/accounts/accounts';
import { AccountInput } from '@/features/accounts/schema';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const seat = (csesidx: string, label: string | null = null) =>
  AccountInput.parse({ label, csesidx, configId: 'team', secureCSes: 'CSE.one' });

const labels = async () => (await listAccounts(Date.now())).map(({ label }) => label).sort();

it('labels each new account with a name of its own, and lets no other take it', async () => {
  await openDataFolder();
  const { ids } = await saveAccounts([seat('1'), seat('2'), seat('3', 'account-4')]);
  expect(await labels()).toEqual(['account-1', 'account-2', 'account-4']);
  await deleteAccount(ids[0] ?? '');
  await saveAccounts([seat('5'), seat('6')]);
  expect(await labels()).toEqual(['account-2', 'account-3', 'account-4', 'account-5']);
  const taken = setOptions(ids[1] ?? '', { label: 'account-4', weight: 9 });
  await expect(taken).rejects.toMatchObject({ code: 'conflict', param: 'label' });
  await setOptions(ids[1] ?? '', { label: 'account-2', weight: 9 });
  const renamed = (await listAccounts(Date.now())).find(({ id }) => id === ids[1]);
  expect(renamed).toMatchObject({ label: 'account-2', weight: 9 });
});
