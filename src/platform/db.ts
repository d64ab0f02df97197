import type { Client, Config, InStatement } from '@libsql/client';
import { PrismaLibSql } from '@prisma/adapter-libsql';
import Writer from 'libsql/promise';
import { PrismaClient } from '@/generated/prisma/client';
import { databaseFile, env } from '@/platform/env';
import { processState } from '@/platform/process-state';

export type Database = PrismaClient;

// libsql waits inside a synchronous call, which stops the event loop: it may wait this long only.
const BUSY_TIMEOUT_MS = 50;
// On a thread of its own nobody else waits.
const WRITER_BUSY_TIMEOUT_MS = 1_000;
const RETRY_FOR_MS = 30_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

interface Handle {
  /** Open and ready; null before the first use and after the end. */
  client: Promise<Database> | null;
  /** What writes off the event loop; null before the first write, after a failed one and the end. */
  writer: Writer | null;
  closed: boolean;
}

/**
 * Exactly one client per process: two in one process lock each other out.
 */
function handle(): Handle {
  return processState<Handle>('database', () => ({ client: null, writer: null, closed: false }));
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

/** Opens the database, also after `closeDatabase`. Safe to call again. */
export async function openDatabase(): Promise<void> {
  handle().closed = false;
  await client();
}

/**
 * Closes the database, so that the write-ahead log is folded into it. Every query from now on is
 * refused, so that no late one leaves it open again.
 */
export async function closeDatabase(): Promise<void> {
  const state = handle();
  const closing = state.client;
  state.client = null;
  state.closed = true;
  closeWriter();
  // One that could not be opened needs no closing.
  const db = await closing?.catch(() => null);
  if (!db) return;
  // Connections of transactions stay open in libsql, so that closing ours would not fold the log in,
  // and a copy of the database file alone would miss it. Where another process reads, it stays.
  await db.$queryRawUnsafe('PRAGMA wal_checkpoint(TRUNCATE)').catch(() => {});
  await db.$disconnect();
}

function client(): Promise<Database> {
  const state = handle();
  if (state.closed) throw new Error('The database is closed.');
  state.client ??= connect().catch((error) => {
    state.client = null;
    throw error;
  });
  return state.client;
}

async function connect(): Promise<Database> {
  const db = new PrismaClient({
    adapter: new ReconnectingLibSql({ url: env().databaseUrl, timeout: BUSY_TIMEOUT_MS }),
  });
  try {
    // The journal mode stays in the file; as a query, since the pragma answers with a row.
    await retryBusy(() => db.$queryRawUnsafe('PRAGMA journal_mode=WAL'));
    return db;
  } catch (error) {
    await db.$disconnect();
    throw error;
  }
}

/**
 * Runs one query, or one whole `$transaction([...])`, again and again while another process holds
 * the database, for at most 30 s. `run` may be called several times: everything in it must be part
 * of that one query or transaction. Opens the database at the first use.
 * @throws Error if the database was closed, now or while it waited
 */
export function query<T>(run: (db: Database) => Promise<T>): Promise<T> {
  return retryBusy(async () => run(await client()));
}

/**
 * Runs `statement`, a transaction of its own, whose only parameter is `json`. It runs beside the
 * event loop, which neither the work nor the disk then holds, and waits for other writers as `query`
 * does.
 * @throws Error if the database was closed, now or while it waited
 */
export function execute(statement: string, json: string): Promise<void> {
  // What libsql runs beside the loop takes no parameters. JSON has no NUL, which would end the text.
  const literal = `'${json.replaceAll("'", "''")}'`;
  const sql = statement.replace('?', () => literal);
  return retryBusy(async () => {
    await client();
    const state = handle();
    state.writer ??= new Writer(databaseFile(), { timeout: WRITER_BUSY_TIMEOUT_MS });
    try {
      await state.writer.exec(sql);
    } catch (error) {
      // As for the client: a statement that failed could stay active on its connection.
      closeWriter();
      throw error;
    }
  });
}

function closeWriter(): void {
  handle().writer?.close();
  handle().writer = null;
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

/**
 * An SQL expression for the time that `milliseconds`, another expression, tells, in the form in which
 * Prisma stores times: another form would sort wrongly beside it. Null stays null.
 */
export function sqlTime(milliseconds: string): string {
  return `strftime('%Y-%m-%dT%H:%M:%f+00:00', (${milliseconds}) / 1000.0, 'unixepoch')`;
}
