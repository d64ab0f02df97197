import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { demoAccount, seedFile } from '../stand-in/accounts';
import { importAccounts } from '../support/commands';
import { newDataFolder } from '../support/data-folder';
import { question, startPool } from '../support/pool';

function filesUnder(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

it('no cookie, token or key stands in any byte of the data folder or of the output', async () => {
  const pool = await startPool({ env: { LOG_LEVEL: 'trace' } });
  try {
    const chat = '/v1/chat/completions';
    // A mailbox and a proxy with secrets in their addresses; the account is switched off.
    const mailToken = 'eyJhbGciOiJIUzI1NiJ9.eyJhZGRyZXNzIjoieCJ9.mailbox-token';
    const [seat] = seedFile([demoAccount(9)]).accounts;
    const mailbox = {
      available: false,
      tempmail_url: `https://mail.example.com/?jwt=${mailToken}`,
    };
    await importAccounts(pool.server.dataDir, { accounts: [{ ...seat, ...mailbox }] });
    const proxied = newDataFolder();
    const proxy = 'http://user:proxy-password@127.0.0.1:9';
    await importAccounts(proxied, { accounts: [], models: [], proxy, proxy_enabled: true });
    const ask = (directive: string) =>
      pool.call(chat, { model: 'gemini-enterprise', messages: question(directive) });
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'rotation secure=1' });
    pool.standIn.setFault('demo-2', { on: 'key', scenario: 'expired-sign-in' });
    for (let count = 0; count < 6; count++) await ask('echo');
    await ask('error-first status=500');
    await pool.call('/v1/models', undefined, {
      headers: { authorization: 'Bearer sk-0123456789abcdefghij' },
    });
    await new Promise((resolve) => setTimeout(resolve, 1_500));

    const values = new Set([pool.key, 'sk-0123456789abcdefghij', mailToken, 'proxy-password']);
    for (const number of [1, 2, 3, 9]) {
      const { secure_c_ses, host_c_oses } = demoAccount(number);
      values.add(secure_c_ses);
      if (host_c_oses) values.add(host_c_oses);
    }
    for (const account of pool.standIn.accounts.all) {
      for (const value of Object.values(account.cookies)) if (value) values.add(value);
    }
    for (const entry of pool.standIn.log) {
      const bearer = entry.headers?.authorization?.replace('Bearer ', '');
      if (bearer) values.add(bearer);
    }
    expect(values.size).toBeGreaterThan(10);

    const files = [...filesUnder(pool.server.dataDir), ...filesUnder(proxied)];
    expect(files.some((file) => file.endsWith('pool.db-wal'))).toBe(true);
    const haystacks = [
      ['output', Buffer.from(pool.server.output())] as const,
      ...files.map((file) => [path.basename(file), fs.readFileSync(file)] as const),
    ];
    for (const [name, bytes] of haystacks) {
      // lock.db must not be opened by this process' holder, but we are another one.
      for (const value of values)
        expect(bytes.includes(value), `${name} holds a secret`).toBe(false);
    }
  } finally {
    await pool.close();
  }
});
