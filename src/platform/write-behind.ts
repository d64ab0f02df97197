import { query } from '@/platform/db';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/**
 * Writes that nobody waits for: log rows, counters, last-used marks. They are kept in memory and
 * flushed every second and at stop, so that the hot path makes no database write.
 */

const FLUSH_EVERY_MS = 1_000;
// One statement of this many rows holds the event loop for less than 20 ms.
const BATCH_ROWS = 200;
// Beyond this the oldest rows are dropped: a database that is gone for long must not eat the memory.
const MAX_ROWS_PER_STATEMENT = 20_000;

type Row = readonly (string | number | null)[];

interface Queue {
  /** Rows by statement. */
  appended: Map<string, Row[]>;
  /** The last row by statement and id. */
  latest: Map<string, Map<string, Row>>;
  dropped: number;
  timer: NodeJS.Timeout | null;
  flushing: Promise<void> | null;
}

function queue(): Queue {
  return processState<Queue>('write-behind', () => ({
    appended: new Map(),
    latest: new Map(),
    dropped: 0,
    timer: null,
    flushing: null,
  }));
}

/**
 * Queues a row for `statement`, which takes all rows as one JSON array in its only parameter, such
 * as `INSERT INTO "T" ("a","b") SELECT value->>0, value->>1 FROM json_each(?)`.
 */
export function writeBehind(statement: string, row: Row): void {
  const { appended } = queue();
  const rows = appended.get(statement);
  if (!rows) appended.set(statement, [row]);
  else if (rows.length < MAX_ROWS_PER_STATEMENT) rows.push(row);
  else {
    rows.shift();
    rows.push(row);
    queue().dropped += 1;
  }
}

/** Like `writeBehind`, but only the last row of each `id` between two flushes is written. */
export function writeLatestBehind(statement: string, id: string, row: Row): void {
  const { latest } = queue();
  const rows = latest.get(statement);
  if (rows) rows.set(id, row);
  else latest.set(statement, new Map([[id, row]]));
}

/** Starts the flush of every second. Safe to call again. */
export function startWriteBehind(): void {
  const state = queue();
  state.timer ??= setInterval(() => {
    flushWriteBehind().catch((error) => log().error({ err: error }, 'write-behind flush failed'));
  }, FLUSH_EVERY_MS).unref();
}

/** Ends the timer and writes what is left. */
export async function stopWriteBehind(): Promise<void> {
  const state = queue();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
  await state.flushing;
  await flushWriteBehind();
}

/** Writes all queued rows now. What fails stays queued for the next flush. */
export function flushWriteBehind(): Promise<void> {
  const state = queue();
  state.flushing ??= flushAll(state).finally(() => {
    state.flushing = null;
  });
  return state.flushing;
}

async function flushAll(state: Queue): Promise<void> {
  if (state.dropped > 0) {
    log().warn({ rows: state.dropped }, 'write-behind queue was full: oldest rows dropped');
    state.dropped = 0;
  }
  for (const [statement, rows] of state.appended) {
    while (rows.length > 0) {
      const batch = rows.slice(0, BATCH_ROWS);
      await writeBatch(statement, batch);
      rows.splice(0, batch.length);
      await breath();
    }
  }
  for (const [statement, byId] of state.latest) {
    while (byId.size > 0) {
      const batch = [...byId].slice(0, BATCH_ROWS);
      await writeBatch(
        statement,
        batch.map(([, row]) => row),
      );
      for (const [id, row] of batch) if (byId.get(id) === row) byId.delete(id);
      await breath();
    }
  }
}

function writeBatch(statement: string, rows: Row[]): Promise<unknown> {
  const json = JSON.stringify(rows);
  return query((db) => db.$executeRawUnsafe(statement, json));
}

/** Lets waiting requests run between two batches. */
function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
