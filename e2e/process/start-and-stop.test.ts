import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { demoAccount, seedFile } from '../stand-in/accounts';
import { createKey, runCommand } from '../support/commands';
import { holdDatabase, newDataFolder, projectRoot } from '../support/data-folder';
import { eventually, type Pool, query, question, startPool } from '../support/pool';
import { type RunningServer, startServer } from '../support/server';

const CHAT = '/v1/chat/completions';
const body = (directive: string, more: object = {}) => ({
  model: 'gemini-enterprise',
  messages: question(directive),
  ...more,
});

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});
async function pooled(...options: Parameters<typeof startPool>): Promise<Pool> {
  const pool = await startPool(...options);
  open.push(pool);
  return pool;
}
async function served(...options: Parameters<typeof startServer>): Promise<RunningServer> {
  const server = await startServer(...options);
  open.push({ close: () => server.kill() });
  return server;
}

/** Starts the built server and waits for its end; for starts that must fail. */
function failingStart(env: Record<string, string>) {
  const { status, stderr } = spawnSync(process.execPath, ['dist/server.mjs'], {
    cwd: projectRoot,
    env: {
      PATH: process.env.PATH ?? '',
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: '0',
      ...env,
    },
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, stderr };
}

describe('a start', () => {
  it('names every wrong variable and the mend, and ends', () => {
    const { status, stderr } = failingStart({ PORT: 'eighty', LOG_LEVEL: 'loud' });
    expect(status).toBe(1);
    expect(stderr).toContain('PORT');
    expect(stderr).toContain('LOG_LEVEL');
    expect(stderr).toContain('Unset it for the default (8000)');
    expect(stderr).not.toContain('    at ');
  });

  it('is refused on a data folder that a server uses, whichever way in', async () => {
    const { dataDir } = await served();
    const second = failingStart({ DATA_DIR: dataDir });
    expect(second.status).toBe(1);
    expect(second.stderr).toContain('Another server already uses the data folder');
    await expect(startServer({ dataDir, way: 'next' })).rejects.toThrow(
      'Another server already uses the data folder',
    );
  });

  it('is not refused right after kill -9', async () => {
    const first = await served();
    await first.kill();
    const second = await served({ dataDir: first.dataDir });
    expect((await fetch(`${second.url}/health`)).status).toBe(200);
  });

  it('tells when the port is taken', async () => {
    const { url } = await served();
    const { status, stderr } = failingStart({ DATA_DIR: newDataFolder(), PORT: new URL(url).port });
    expect(status).toBe(1);
    expect(stderr).toContain('is taken by another program');
  });

  it('tells how to make the tables when there are none', () => {
    const dataDir = fs.mkdtempSync(path.join(newDataFolder(), 'empty-'));
    const { status, stderr } = failingStart({ DATA_DIR: dataDir });
    expect(status).toBe(1);
    expect(stderr).toContain('npx prisma migrate deploy');
  });

  it('is refused with a missing or another key, and never makes a new one', async () => {
    const { dataDir, stop } = await served();
    await stop();
    const keyFile = path.join(dataDir, 'encryption.key');
    expect(fs.statSync(keyFile).mode & 0o777).toBe(0o600);
    const another = failingStart({ DATA_DIR: dataDir, ENCRYPTION_KEY: 'another passphrase' });
    expect(another.status).toBe(1);
    expect(another.stderr).toContain('does not fit the database');
    fs.renameSync(keyFile, `${keyFile}.away`);
    const missing = failingStart({ DATA_DIR: dataDir });
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain('key is missing');
    expect(fs.existsSync(keyFile)).toBe(false);
  });

  it('takes the file of the Python system in, once, and leaves it as it is', async () => {
    const dataDir = newDataFolder();
    const file = path.join(dataDir, 'business_gemini_session.json');
    const seed = {
      ...seedFile([demoAccount(1), demoAccount(2)]),
      models: [{ id: 'my-model', name: 'Mine', api_model_id: 'gemini-2.5-pro', account_index: 1 }],
      proxy: 'http://127.0.0.1:9',
      proxy_enabled: true,
    };
    fs.writeFileSync(file, JSON.stringify(seed));
    const first = await served({ dataDir });
    expect(first.output()).toContain('clear text');
    await first.stop();
    expect(await runCommand('account', ['list'], dataDir)).toContain('account-2');
    const models = await query(dataDir, { sql: 'SELECT "id" FROM "Model"', args: [] });
    expect(models).toEqual([{ id: 'my-model' }]);
    const bound = await query(dataDir, {
      sql: 'SELECT "csesidx" FROM "ModelAccount" JOIN "Account" ON "accountId" = "Account"."id"',
      args: [],
    });
    expect(bound).toEqual([{ csesidx: demoAccount(2).csesidx }]);
    expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(seed);

    await query(dataDir, { sql: 'DELETE FROM "Account"', args: [] });
    await (await served({ dataDir })).stop();
    expect(await runCommand('account', ['list'], dataDir)).toContain('no account yet');
  });
});

describe('a stop', () => {
  it('lets an open stream end whole, refuses new requests, and writes the log', async () => {
    const pool = await pooled();
    const response = await pool.call(CHAT, body('count n=10 ms=150', { stream: true }));
    // A kept-alive connection that is open when the stop comes.
    const text = response.text();
    const stopped = pool.server.stop();
    await eventually(() => pool.server.output().includes('stopping'));
    await expect(pool.call(CHAT, body('echo'))).rejects.toThrow();
    expect(await text).toContain('[DONE]');
    const endedAt = Date.now();
    expect((await stopped).exitCode).toBe(0);
    // At once, and not when the kept-alive connection times out.
    expect(Date.now() - endedAt).toBeLessThan(10_000);
    const rows = await query(pool.server.dataDir, {
      sql: 'SELECT "status", "stream", "tries" FROM "RequestLog"',
      args: [],
    });
    expect(rows).toEqual([{ status: 200, stream: 1, tries: 1 }]);
  });

  it('answers 503 on a connection that is still open', async () => {
    const pool = await pooled();
    const request = (method: string, where: string, json = '') =>
      `${method} ${where} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${pool.key}\r\n` +
      `Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
    const socket = net.connect(Number(new URL(pool.server.url).port), '127.0.0.1');
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
    });
    socket.write(request('POST', CHAT, JSON.stringify(body('count n=10 ms=200'))));
    await eventually(() => pool.standIn.openStreams === 1);
    const stopped = pool.server.stop();
    await eventually(() => pool.server.output().includes('stopping'));
    socket.write(request('GET', '/v1/models') + request('GET', '/health'));
    expect((await stopped).exitCode).toBe(0);
    const [chat, models, health] = received.split(/(?=HTTP\/1\.1 )/);
    expect(chat).toMatch(/^HTTP\/1\.1 200/);
    expect(chat).toContain('1 2 3 4 5');
    expect(models).toMatch(/^HTTP\/1\.1 503/);
    expect(models).toMatch(/retry-after: \d+/i);
    expect(models).toContain('"server_shutting_down"');
    expect(health).toMatch(/^HTTP\/1\.1 503/);
    socket.destroy();
  });

  it('cuts at a second signal what is still under way, with an error, and logs it', async () => {
    const pool = await pooled({ accounts: 1 });
    const stream = await pool.call(CHAT, body('count n=1000 ms=100', { stream: true }));
    const plain = pool.call(CHAT, body('count n=1000 ms=100'));
    await eventually(() => pool.standIn.openStreams === 2);
    const stopped = pool.server.stop();
    await eventually(() => pool.server.output().includes('stopping'));
    process.kill(pool.server.pid, 'SIGTERM');
    const text = await stream.text();
    expect(text).toContain('"server_shutting_down"');
    expect(text).not.toContain('[DONE]');
    expect((await plain).status).toBe(503);
    expect((await stopped).exitCode).toBe(0);
    const rows = await query(pool.server.dataDir, {
      sql: 'SELECT "status", "code", "completionTokens" > 0 AS "counted" FROM "RequestLog"',
      args: [],
    });
    expect(rows).toEqual(Array(2).fill({ status: 503, code: 'server_shutting_down', counted: 1 }));
    const accounts = await query(pool.server.dataDir, {
      sql: 'SELECT "fault" FROM "Account"',
      args: [],
    });
    expect(accounts).toEqual([{ fault: null }]);
  });

  it('does not hang when another program holds the database', async () => {
    const pool = await pooled();
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    const release = holdDatabase(pool.server.dataDir);
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    expect((await pool.server.stop()).exitCode).toBe(0);
    expect(pool.server.output()).toContain('a step failed');
    release();
  });
});

describe('a running server', () => {
  it('takes a new key at once, and refuses a revoked one within a second', async () => {
    const pool = await pooled();
    const key = await createKey(pool.server.dataDir, 'second', { models: ['gemini-2.5-pro'] });
    const list = () =>
      fetch(`${pool.server.url}/v1/models`, { headers: { 'x-api-key': key } }).then(
        async (response) => ({
          status: response.status,
          ids: response.ok
            ? (await response.json()).data.map((model: { id: string }) => model.id)
            : [],
        }),
      );
    expect(await list()).toEqual({ status: 200, ids: ['gemini-2.5-pro'] });
    const other = await fetch(`${pool.server.url}${CHAT}`, {
      method: 'POST',
      headers: { 'x-api-key': key },
      body: JSON.stringify(body('echo')),
    });
    expect(other.status).toBe(403);
    await runCommand('key', ['revoke', 'second'], pool.server.dataDir);
    await eventually(async () => (await list()).status === 401);
  });

  it('refuses an expired key', async () => {
    const pool = await pooled();
    const key = await createKey(pool.server.dataDir, 'short', { expires: '1m' });
    const list = () => fetch(`${pool.server.url}/v1/models`, { headers: { 'x-api-key': key } });
    expect((await list()).status).toBe(200);
    await query(
      pool.server.dataDir,
      {
        sql: `UPDATE "ApiKey" SET "expiresAt" = '2026-01-01T00:00:00.000+00:00' WHERE "name" = 'short'`,
        args: [],
      },
      { sql: `UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'keys'`, args: [] },
    );
    await eventually(async () => (await list()).status === 401);
  });

  it('serves with an account that was imported a second ago', async () => {
    const pool = await pooled({ accounts: 0 });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(503);
    pool.standIn.accounts.add(demoAccount(7));
    const { importAccounts } = await import('../support/commands');
    await importAccounts(pool.server.dataDir, seedFile([demoAccount(7)]));
    await eventually(async () => (await pool.call(CHAT, body('echo'))).status === 200);
  });

  it('remembers rests over kill -9', async () => {
    const pool = await pooled();
    pool.standIn.setFault('*', {
      on: 'streamAssist',
      scenario: 'http status=429 reason=QUOTA_EXCEEDED',
    });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(429);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await pool.server.kill();
    const asked = pool.standIn.log.length;
    const again = await served({ dataDir: pool.server.dataDir, standInUrl: pool.standIn.url });
    const response = await fetch(`${again.url}${CHAT}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${pool.key}` },
      body: JSON.stringify(body('echo')),
    });
    expect(response.status).toBe(429);
    expect(pool.standIn.log).toHaveLength(asked);
  });

  it('answers chats while another process holds the database for seconds', async () => {
    const pool = await pooled();
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    const release = holdDatabase(pool.server.dataDir);
    const startedAt = Date.now();
    for (let count = 0; count < 20; count++) {
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    release();
    expect((await pool.server.stop()).exitCode).toBe(0);
    const [row] = await query(pool.server.dataDir, {
      sql: 'SELECT count(*) AS "rows" FROM "RequestLog"',
      args: [],
    });
    expect(row).toEqual({ rows: 21 });
  });
});
