import { type Account, reloadAccounts } from '@/features/accounts/account-table';
import { saveAccounts } from '@/features/accounts/accounts';
import { AccountInput } from '@/features/accounts/schema';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { closeDispatchers } from '@/platform/http';
import { demoAccounts } from '../stand-in/accounts';
import { type StandIn, startStandIn } from '../stand-in/stand-in';
import { newDataFolder } from './data-folder';
import { resetProcessState } from './hand-made-accounts';

/** For code that runs in the test's own process, without a server: a database and an upstream. */
export interface NearUpstream {
  standIn: StandIn;
  /** The account of `demo-1` and so on. */
  account(number: number): Account;
  close(): Promise<void>;
}

/** A stand-in upstream and a new database with so many accounts on it. */
export async function startNearUpstream(count: number): Promise<NearUpstream> {
  const seats = demoAccounts(count);
  const standIn = await startStandIn({ accounts: seats });
  resetProcessState();
  process.env.DATA_DIR = newDataFolder();
  for (const host of ['APP', 'AUTH', 'API', 'VERIFY']) {
    process.env[`GEMINI_${host}_URL`] = standIn.url;
  }
  await openDataFolder();
  const inputs = seats.map(({ name, team_id, secure_c_ses, host_c_oses, csesidx }) =>
    AccountInput.parse({
      label: name,
      csesidx,
      configId: team_id,
      secureCSes: secure_c_ses,
      hostCOses: host_c_oses,
    }),
  );
  await saveAccounts(inputs);
  const accounts = [...(await reloadAccounts()).values()];
  return {
    standIn,
    account(number) {
      const account = accounts[number - 1];
      if (!account) throw new Error(`there is no account ${number}`);
      return account;
    },
    async close() {
      stopCachedTables();
      await closeDispatchers();
      await closeDatabase();
      await standIn.close();
    },
  };
}
