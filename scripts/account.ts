import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type TestDepth, testAccount } from '@/features/accounts/account-test';
import { deleteAccount, getAccount, setEnabled, setOptions } from '@/features/accounts/accounts';
import type { AccountOptions } from '@/features/accounts/schema';
import { importLegacyConfig } from '@/features/transfer/import-legacy';
import { AppError, isAppError } from '@/platform/errors';
import { printAccounts } from './account-list.ts';
import { parseAssignment, printable, runCommand } from './command-line.ts';

const HELP = `npm run account -- import FILE    take accounts, models and proxy from a business_gemini_session.json
npm run account -- list           all accounts with their state and what they did today
npm run account -- enable A       A is an id, csesidx or label
npm run account -- disable A
npm run account -- delete A
npm run account -- test A [--depth key|session|chat]
                                  fetch a signing key, make a session (the default), ask for a word
npm run account -- set A NAME=VALUE ...
                                  label=…, weight=1…, proxy=URL|direct, max-concurrent=N,
                                  text-limit=N, images-limit=N, videos-limit=N (uses a day);
                                  none as a value: as the settings say`;

const depths: readonly string[] = ['key', 'session', 'chat'] satisfies TestDepth[];

const optionNames: Record<string, keyof AccountOptions> = {
  label: 'label',
  weight: 'weight',
  proxy: 'proxyUrl',
  'max-concurrent': 'maxConcurrent',
  'text-limit': 'textLimit',
  'images-limit': 'imagesLimit',
  'videos-limit': 'videosLimit',
};

await runCommand(HELP, async (argv) => {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { depth: { type: 'string' } },
  });
  const [verb, name, ...rest] = positionals;
  if (verb === 'list' && !name) {
    await printAccounts(Date.now());
    return true;
  }
  if (!verb || !name) return false;
  if (values.depth !== undefined && verb !== 'test') return false;
  if (verb === 'set') return rest.length > 0 && set(name, rest);
  if (rest.length > 0) return false;
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
    case 'delete': {
      const account = await getAccount(name);
      await deleteAccount(account.id);
      console.log(
        `The account ${account.label} is deleted. A running server sees it within a second.`,
      );
      return true;
    }
    case 'test':
      return test(name, values.depth ?? 'session');
    default:
      return false;
  }
});

async function test(name: string, depth: string): Promise<boolean> {
  if (!depths.includes(depth)) return false;
  const account = await getAccount(name);
  const { durationMs, answer, failure } = await testAccount(account, depth as TestDepth);
  if (failure) {
    const { fault, message } = failure;
    throw new AppError(
      'upstream_error',
      `The account ${account.label} does not work: ${fault}: ${message}`,
    );
  }
  const said = answer === null ? '' : ` The model said: ${printable(answer)}`;
  console.log(`The account ${account.label} works (${durationMs} ms).${said}`);
  return true;
}

async function set(name: string, assignments: string[]): Promise<true> {
  const account = await getAccount(name);
  const options = Object.fromEntries(assignments.map(optionOf));
  await setOptions(account.id, options).catch((error) => {
    throw inOurWords(error);
  });
  console.log(`The account ${account.label} is set. A running server sees it within a second.`);
  return true;
}

function optionOf(text: string): [keyof AccountOptions, string | number | null] {
  const { word, name, value } = parseAssignment(text, optionNames);
  if (value === '') {
    throw new AppError('invalid_request', `${word} lacks its value; none takes it away.`);
  }
  if (value === 'none' || value === 'null') return [name, null];
  const isText = name === 'label' || name === 'proxyUrl';
  if (!isText && !/^\d+$/.test(value)) {
    throw new AppError('invalid_request', `${word} must be a whole number, or none.`);
  }
  return [name, isText ? value : Number(value)];
}

/** Names the option as it is named here. */
function inOurWords(error: unknown): unknown {
  if (!isAppError(error) || error.param === null) return error;
  const { code, param, message } = error;
  const word = Object.keys(optionNames).find((each) => optionNames[each] === param);
  if (!word || !message.startsWith(`${param}: `)) return error;
  return new AppError(code, `${word}${message.slice(param.length)}`, { param: word, cause: error });
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
  // npm changes to the project's folder; the operator means the one that they are in.
  const fullPath = path.resolve(process.env.INIT_CWD ?? '.', file);
  try {
    return readFileSync(fullPath, 'utf8');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = isMissing ? 'is not there' : "can't be read";
    throw new AppError('not_found', `The file ${fullPath} ${why}.`, { cause: error });
  }
}
