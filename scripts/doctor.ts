import { type Account, allAccounts } from '@/features/accounts/account-table';
import { exitOf } from '@/features/accounts/exit';
import { type ExitTest, testExit } from '@/features/accounts/exit-test';
import { testBucket } from '@/features/media/bucket';
import { testCfbed } from '@/features/media/cfbed';
import { bucketConfig, cfbedConfig } from '@/features/media/storage-config';
import { settings } from '@/features/settings/settings';
import { isGeminiError } from '@/gemini/errors';
import { isAppError } from '@/platform/errors';
import { printable, runCommand } from './command-line.ts';

const HELP = `npm run doctor             all checks of what is set
npm run doctor -- proxy    ask the upstream through every exit: the settings' proxy and the accounts' own
npm run doctor -- cfbed    upload a tiny picture to the image host
npm run doctor -- bucket   write to the S3 bucket, read it back and delete it`;

const TESTS_AT_ONCE = 8;
const LABELS_SHOWN = 3;

interface Check {
  /** Whether there is anything to check, unless it was asked for by its name. */
  isSet(): Promise<boolean>;
  /** Prints what it finds. @returns whether all is well */
  check(): Promise<boolean>;
}

const checks: Record<string, Check> = {
  proxy: { isSet: async () => true, check: checkExits },
  cfbed: {
    isSet: async () => (await cfbedConfig()) !== null,
    check: () =>
      checkStorage('The image host', async () => {
        const { url, durationMs } = await testCfbed();
        return `took a picture in ${durationMs} ms: ${url}`;
      }),
  },
  bucket: {
    isSet: isBucketNamed,
    check: () =>
      checkStorage('The bucket', async () => {
        const { durationMs } = await testBucket();
        return `took an object and gave it back in ${durationMs} ms`;
      }),
  },
};

await runCommand(
  HELP,
  async ([name, ...rest]) => {
    if (rest.length > 0 || (name !== undefined && !Object.hasOwn(checks, name))) return false;
    for (const [each, { isSet, check }] of Object.entries(checks)) {
      if (name === undefined ? !(await isSet()) : name !== each) continue;
      if (!(await check())) process.exitCode = 1;
    }
    return true;
  },
  { bare: true },
);

/** One line per exit. @returns true if all of them work */
async function checkExits(): Promise<boolean> {
  const { exits, unreadable } = await findExits();
  let failed = unreadable.length;
  for (let first = 0; first < exits.length; first += TESTS_AT_ONCE) {
    const some = exits.slice(first, first + TESTS_AT_ONCE);
    const tests = await Promise.all(some.map(([proxyUrl]) => testExit(proxyUrl)));
    for (const [index, test] of tests.entries()) {
      if (!test.reached) failed += 1;
      console.log(printable(lineOf(test, some[index]?.[1] ?? [])));
    }
  }
  for (const label of unreadable) {
    console.log(
      printable(`FAIL  the proxy of ${label} can't be read. Set it anew: npm run account -- set`),
    );
  }
  return failed === 0;
}

/** Each exit with the labels of the accounts that use it; that of the settings first. */
async function findExits() {
  const limits = await settings();
  const exits = new Map<string | null, string[]>([[limits.proxyUrl, []]]);
  const unreadable: string[] = [];
  for (const account of (await allAccounts()).values()) {
    const proxyUrl = readExit(account, limits.proxyUrl);
    if (proxyUrl === undefined) unreadable.push(account.label);
    else exits.set(proxyUrl, [...(exits.get(proxyUrl) ?? []), account.label]);
  }
  return { exits: [...exits], unreadable };
}

function readExit(account: Account, proxyUrl: string | null): string | null | undefined {
  try {
    return exitOf(account, { proxyUrl });
  } catch (error) {
    if (isGeminiError(error)) return undefined;
    throw error;
  }
}

function lineOf(test: ExitTest, labels: string[]): string {
  const { name, reached, latencyMs, status, reason, message, mend } = test;
  const shown = `${name} (${usersOf(labels)})`;
  const line = reached
    ? `ok    ${shown}: reached in ${latencyMs} ms, HTTP ${status}.`
    : `FAIL  ${shown}: ${reason}: ${message}.`;
  return mend ? `${line} ${mend}` : line;
}

function usersOf(labels: string[]): string {
  if (labels.length === 0) return 'no account';
  const more = labels.length > LABELS_SHOWN ? ', …' : '';
  const names = labels.slice(0, LABELS_SHOWN).join(', ') + more;
  return `${labels.length} ${labels.length === 1 ? 'account' : 'accounts'}: ${names}`;
}

/** One that has no key to it is named, too: the check then says so. */
async function isBucketNamed(): Promise<boolean> {
  try {
    return (await bucketConfig()) !== null;
  } catch (error) {
    if (isAppError(error)) return true;
    throw error;
  }
}

async function checkStorage(what: string, test: () => Promise<string>): Promise<boolean> {
  try {
    console.log(printable(`ok    ${what} ${await test()}`));
    return true;
  } catch (error) {
    if (!isAppError(error)) throw error;
    console.log(printable(`FAIL  ${error.message}`));
    return false;
  }
}
