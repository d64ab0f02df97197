import { readFileSync } from 'node:fs';
import path from 'node:path';
import { getAccount, listAccounts, setEnabled } from '@/features/accounts/accounts';
import { testAccount } from '@/features/accounts/lease';
import { importLegacyConfig } from '@/features/transfer/import-legacy';
import { AppError } from '@/platform/errors';
import { printable, printTable, runCommand } from './command-line.ts';

const HELP = `npm run account -- import FILE    take accounts, models and proxy from a business_gemini_session.json
npm run account -- list           all accounts with their state
npm run account -- enable A       A is an id, csesidx or label
npm run account -- disable A
npm run account -- test A         fetch a signing key and make a session`;

await runCommand(HELP, async ([verb, name, ...rest]) => {
  if (rest.length > 0) return false;
  if (verb === 'list' && !name) return list();
  if (!verb || !name) return false;
  switch (verb) {
    case 'import':
      return importFile(name);
    case 'enable':
    case 'disable': {
      const account = await getAccount(name);
      await setEnabled(account.id, verb === 'enable');
      console.log(
        `The account ${account.label} is ${verb}d. A running server sees it within a second.`,
      );
      return true;
    }
    case 'test': {
      const account = await getAccount(name);
      const { durationMs, failure } = await testAccount(account);
      if (failure) {
        const { fault, message } = failure;
        throw new AppError(
          'upstream_error',
          `The account ${account.label} does not work: ${fault}: ${message}`,
        );
      }
      console.log(`The account ${account.label} works (${durationMs} ms).`);
      return true;
    }
    default:
      return false;
  }
});

async function list(): Promise<true> {
  const nowMs = Date.now();
  const accounts = await listAccounts(nowMs);
  printTable(
    ['label', 'csesidx', 'state', 'rests for', 'last failure'],
    accounts.map(({ label, csesidx, state, restUntilMs, fault, reason }) => [
      label,
      csesidx,
      state,
      restUntilMs !== null && restUntilMs > nowMs
        ? `${Math.ceil((restUntilMs - nowMs) / 1_000)} s`
        : '-',
      fault ? `${fault}: ${reason ?? ''}` : '-',
    ]),
    'There is no account yet. Take some in: npm run account -- import business_gemini_session.json',
  );
  return true;
}

async function importFile(file: string): Promise<true> {
  const { added, renewed, models, proxy, warnings } = await importLegacyConfig(readText(file));
  for (const warning of warnings) console.error(`warning: ${printable(warning)}`);
  console.log(
    `Accounts added: ${added}, renewed: ${renewed}. Models added: ${models}.${proxy ? ' Proxy set.' : ''}`,
  );
  if (added + renewed + models === 0 && !proxy) {
    throw new AppError('invalid_request', `Nothing was taken from ${file}.`);
  }
  console.log(
    'The file holds cookies in clear text and is not needed any more: move it to a safe place.',
  );
  return true;
}

function readText(file: string): string {
  try {
    // npm changes to the project's folder; the operator means the one that they are in.
    return readFileSync(path.resolve(process.env.INIT_CWD ?? '.', file), 'utf8');
  } catch (error) {
    throw new AppError('not_found', `${file} can't be read.`, { cause: error });
  }
}
