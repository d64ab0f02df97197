import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { demoAccount } from '../stand-in/accounts';
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

    const values = new Set([pool.key, 'sk-0123456789abcdefghij']);
    for (const number of [1, 2, 3]) {
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

    const files = filesUnder(pool.server.dataDir);
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
