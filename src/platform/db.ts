import type { Client, Config, InStatement } from '@libsql/client';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PrismaClient } from '@/generated/prisma/client';
import { env } from '@/platform/env';
import { processState } from '@/platform/process-state';

export type Database = PrismaClient;

// libsql waits inside a synchronous call, which stops the event loop: it may wait this long only.
const BUSY_TIMEOUT_MS = 50;
const RETRY_FOR_MS = 30_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

interface Handle {
  client: Database | null;
  ready: Promise<void> | null;
}

/**
 * Exactly one client per process: two in one process lock each other out.
 */
function handle(): Handle {
  return processState<Handle>('database', () => ({ client: null, ready: null }));
}

/**
 * libsql does not reset a statement that met a busy database. It stays active on its connection, and
 * whatever that connection writes later is then neither committed nor visible, while it keeps all
 * others out: so the connection is given up, and the next statement gets a new one.
 */
class ReconnectingLibSql extends PrismaLibSql {
  override createClient(config: Config): Client {
    const client = super.createClient(config);
    const execute = client.execute.bind(client) as (
      statement: InStatement,
    ) => ReturnType<Client['execute']>;
    client.execute = async (statement: InStatement) => {
      try {
        return await execute(statement);
      } catch (error) {
        if (isBusy(error)) await client.reconnect();
        throw error;
      }
    };
    return client;
  }
}

/** Opens the database and switches it to write-ahead logging. Safe to call again. */
export async function openDatabase(): Promise<void> {
  const state = handle();
  state.client ??= new PrismaClient({
    adapter: new ReconnectingLibSql({ url: env().databaseUrl, timeout: BUSY_TIMEOUT_MS }),
  });
  const client = state.client;
  // The journal mode stays in the file; as a query, since the pragma answers with a row.
  state.ready ??= retryBusy(() => client.$queryRawUnsafe('PRAGMA journal_mode=WAL')).then(() => {});
  await state.ready;
}

/** Closes the database, so that the write-ahead log is folded into it. */
export async function closeDatabase(): Promise<void> {
  const state = handle();
  const client = state.client;
  state.client = null;
  state.ready = null;
  await client?.$disconnect();
}

/**
 * Runs one query, or one whole `$transaction([...])`, again and again while another process holds
 * the database, for at most 30 s. `run` may be called several times: everything in it must be part
 * of that one query or transaction.
 */
export async function query<T>(run: (db: Database) => Promise<T>): Promise<T> {
  await openDatabase();
  return retryBusy(() => {
    const { client } = handle();
    if (!client) throw new Error('The database is closed.');
    return run(client);
  });
}

async function retryBusy<T>(run: () => Promise<T>): Promise<T> {
  const giveUpAt = Date.now() + RETRY_FOR_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await run();
    } catch (error) {
      if (!isBusy(error) || Date.now() + pauseMs > giveUpAt) throw error;
      // Jitter, so that two waiting processes do not meet again.
      await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
    }
  }
}

function isBusy(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === 'P1008' || /SQLITE_BUSY|database is locked/i.test(String(message));
}

/** A time in the form in which Prisma stores it: raw SQL must write the same, or rows sort wrongly. */
export function sqlTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '+00:00');
}
