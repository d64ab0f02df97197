import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoAccounts, seedFile } from '../stand-in/accounts';
import { type StandIn, startStandIn } from '../stand-in/stand-in';
import { importAccounts, runCommand } from '../support/commands';
import { newDataFolder } from '../support/data-folder';
import { type ProxyBehaviour, startProxy, type TestProxy } from '../support/proxies';

let standIn: StandIn;

beforeAll(async () => {
  standIn = await startStandIn({ accounts: [] });
});

afterAll(() => standIn.close());

/** Runs the doctor as an operator would. */
async function doctor(dataDir: string, args: string[] = [], appUrl = standIn.url) {
  const env = { GEMINI_APP_URL: appUrl };
  return runCommand('doctor', args, dataDir, env).then(
    (stdout) => ({ exitCode: 0, stdout, stderr: '' }),
    (error) => ({ exitCode: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

describe('the doctor', () => {
  const credentials = { user: 'user', password: 'secret-word' };
  let proxy: TestProxy;
  let folder: string;

  beforeAll(async () => {
    proxy = await startProxy({ kind: 'socks5', credentials });
    folder = newDataFolder();
    const seed = seedFile(demoAccounts(4));
    await importAccounts(folder, { ...seed, proxy: proxy.url, proxy_enabled: true });
  });

  afterAll(() => proxy.close());

  it('asks through the proxy of the settings', async () => {
    const { exitCode, stdout } = await doctor(folder);
    expect(stdout).toMatch(
      /^ok {4}socks5:\/\/127\.0\.0\.1:\d+ \(4 accounts: account-1, account-2, account-3, …\): reached in \d+ ms, HTTP \d+\.\n$/,
    );
    expect(exitCode).toBe(0);
    expect(proxy.tunnels()).toEqual([new URL(standIn.url).host]);
  });

  it.each<[ProxyBehaviour, RegExp]>([
    ['dead', /PROXY_UNREACHABLE: .*ECONNREFUSED.* Check that the proxy runs/],
    ['wants-other-credentials', /PROXY_AUTH: .* Check the proxy's user name and password/],
    ['refuses-target', /PROXY_NO_ROUTE: .* Let the proxy reach 127\.0\.0\.1:\d+/],
  ])('says what to do about a proxy that is or does "%s"', async (behaviour, words) => {
    await proxy.become(behaviour);
    const { exitCode, stdout } = await doctor(folder, ['proxy']);
    expect(stdout).toMatch(words);
    expect(stdout).toMatch(/^FAIL {2}socks5:.*\n$/);
    expect(stdout).not.toContain('secret');
    expect(exitCode).toBe(1);
  });
});

it('tests the exits that accounts have of their own, each once', async () => {
  const folder = newDataFolder();
  await importAccounts(folder, seedFile(demoAccounts(3)));
  const own = await startProxy({ kind: 'http' });
  try {
    for (const name of ['account-1', 'account-3']) {
      await runCommand('account', ['set', name, `proxy=${own.url}`], folder);
    }
    expect(await doctor(folder)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(
        /^ok {4}direct \(1 account: account-2\): reached.*\nok {4}http:.*\(2 accounts: account-1, account-3\): reached.*\n$/,
      ),
    });
    await own.become('dead');
    expect(await doctor(folder)).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(/^ok {4}direct.*\nFAIL {2}http:.*\n$/),
    });
  } finally {
    await own.close();
  }
});

it('goes direct without a proxy, with its mends', async () => {
  const folder = newDataFolder();
  expect(await doctor(folder)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^ok {4}direct \(no account\): reached/),
  });
  expect(await doctor(folder, [], 'http://127.0.0.1:9')).toMatchObject({
    exitCode: 1,
    stdout: expect.stringMatching(
      /^FAIL {2}direct .*ECONNREFUSED.*finds and reaches 127\.0\.0\.1:9, or set a proxy\.\n$/,
    ),
  });
});

it('shows its help when asked, and when it does not understand', async () => {
  const folder = newDataFolder();
  expect(await doctor(folder, ['--help'])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('npm run doctor -- proxy'),
  });
  expect(await doctor(folder, ['teeth'])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('npm run doctor -- proxy'),
  });
});
