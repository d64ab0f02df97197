import { expect, it } from 'vitest';
import { importAccounts, runCommand } from '../e2e/support/commands';
import { newDataFolder } from '../e2e/support/data-folder';

const dataDir = newDataFolder();
const key = (...args: string[]) => runCommand('key', args, dataDir);

it('refuses models that are unknown or none, and a life that is none', async () => {
  await importAccounts(dataDir, { accounts: [], models: [{ id: 'mine' }] });
  for (const models of ['', ' ', ',']) {
    await expect(key('create', 'x', '--models', models)).rejects.toThrow('--models takes');
  }
  await expect(key('create', 'x', '--models', 'mine,other')).rejects.toThrow(
    'There is no model "other". Known models: mine.',
  );
  await expect(key('create', 'x', '--expires', '')).rejects.toThrow('--expires takes');
  expect(await key('list')).toContain('There is no key yet');
  await key('create', 'x', '--models', 'mine, mine,', '--expires', '1d');
  expect(await key('list')).toMatch(/^x +sk-\S+ +mine {2}/m);
});
