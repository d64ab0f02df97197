import fs from 'node:fs';
import { createClient } from '@libsql/client';
import OpenAI from 'openai';
import { demoAccounts, seedFile } from '../stand-in/accounts';
import { type StandIn, startStandIn } from '../stand-in/stand-in';
import { createKey, importAccounts } from './commands';
import { newDataFolder, newFolder } from './data-folder';
import { type RunningServer, type ServerOptions, startServer } from './server';

export interface Pool {
  standIn: StandIn;
  server: RunningServer;
  key: string;
  /** The official SDK, without retries of its own. */
  client: OpenAI;
  /** `fetch` on the server with the key and, given a body, as a POST of JSON. */
  call(path: string, body?: unknown, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export interface PoolOptions extends Omit<ServerOptions, 'dataDir' | 'standInUrl'> {
  /** How many demo accounts; 3 if not given. */
  accounts?: number;
  /** Settings that differ from their defaults. */
  settings?: Record<string, unknown>;
}

/** A stand-in upstream, a server with accounts on it, and a key. */
export async function startPool(options: PoolOptions = {}): Promise<Pool> {
  const { accounts = 3, settings = {}, ...serverOptions } = options;
  const standIn = await startStandIn({ accounts: demoAccounts(accounts) });
  const { key, folder } = await filledFolder(accounts);
  const dataDir = newFolder('pool');
  fs.cpSync(folder, dataDir, { recursive: true });
  await writeSettings(dataDir, settings);
  const server = await startServer({ ...serverOptions, dataDir, standInUrl: standIn.url });
  return {
    standIn,
    server,
    key,
    client: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key, maxRetries: 0 }),
    call: (path, body, init = {}) =>
      fetch(`${server.url}${path}`, {
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
        ...init,
        headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string>) },
      }),
    async close() {
      await server.kill();
      await standIn.close();
    },
  };
}

const filled = new Map<number, Promise<{ key: string; folder: string }>>();

/** A data folder with so many demo accounts and a key, to copy: made once per test file. */
function filledFolder(accounts: number): Promise<{ key: string; folder: string }> {
  const known = filled.get(accounts);
  if (known) return known;
  const made = fillFolder(accounts);
  filled.set(accounts, made);
  return made;
}

async function fillFolder(accounts: number): Promise<{ key: string; folder: string }> {
  const folder = newDataFolder();
  // One after the other: the first command makes the encryption key.
  if (accounts > 0) await importAccounts(folder, seedFile(demoAccounts(accounts)));
  return { key: await createKey(folder, 'test'), folder };
}

/** Sets settings in a data folder, as the console will. */
async function writeSettings(dataDir: string, settings: Record<string, unknown>): Promise<void> {
  await query(
    dataDir,
    ...Object.entries(settings).map(([name, value]) => ({
      sql: `INSERT INTO "Setting" ("name", "value", "updatedAt") VALUES (?, ?, '2026-01-01T00:00:00.000+00:00')
        ON CONFLICT ("name") DO UPDATE SET "value" = excluded."value"`,
      args: [name, JSON.stringify(value)],
    })),
    {
      sql: `INSERT INTO "ChangeStamp" ("name", "version") VALUES ('settings', 1)
        ON CONFLICT ("name") DO UPDATE SET "version" = "version" + 1`,
      args: [],
    },
  );
}

/** Runs statements on the database of a data folder, in one transaction; the rows of the last. */
export async function query(
  dataDir: string,
  ...statements: { sql: string; args: (string | number | null)[] }[]
): Promise<Record<string, unknown>[]> {
  const client = createClient({ url: `file:${dataDir}/pool.db`, timeout: 5_000 });
  try {
    const results = await client.batch(statements, 'write');
    return (results.at(-1)?.rows ?? []).map((row) => ({ ...row }));
  } finally {
    client.close();
  }
}

/** A question with an order for the stand-in in it. */
export function question(directive: string): OpenAI.ChatCompletionMessageParam[] {
  return [{ role: 'user', content: `Please: [[${directive}]]` }];
}

/** Waits until `isTrue`, at most `withinMs`. */
export async function eventually(
  isTrue: () => boolean | Promise<boolean>,
  withinMs = 5_000,
): Promise<void> {
  const giveUpAt = Date.now() + withinMs;
  while (!(await isTrue())) {
    if (Date.now() > giveUpAt) throw new Error(`not true within ${withinMs} ms: ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
