import { setImmediate as breath } from 'node:timers/promises';
import { query } from '@/platform/db';
import { log } from '@/platform/log';
import { noteFailure, noteSuccess, type Outage } from '@/platform/outage';
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
const WHAT = 'writing of queued rows';

type Row = readonly (string | number | null)[];

/** A row whose last columns are sums. */
interface Sum {
  key: Row;
  amounts: number[];
}

interface Queue extends Outage {
  /** Rows by statement. */
  appended: Map<string, Row[]>;
  /** The last row by statement and id. */
  latest: Map<string, Map<string, Row>>;
  /** What was added up by statement and id. */
  sums: Map<string, Map<string, Sum>>;
  dropped: number;
  timer: NodeJS.Timeout | null;
  flushing: Promise<void> | null;
}

function queue(): Queue {
  return processState<Queue>('write-behind', () => ({
    appended: new Map(),
    latest: new Map(),
    sums: new Map(),
    dropped: 0,
    failing: false,
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
  else {
    rows.push(row);
    dropOldest(queue(), rows);
  }
}

function dropOldest(state: Queue, rows: Row[]): void {
  const surplus = rows.length - MAX_ROWS_PER_STATEMENT;
  if (surplus <= 0) return;
  rows.splice(0, surplus);
  state.dropped += surplus;
}

/** Like `writeBehind`, but only the last row of each `id` between two flushes is written. */
export function writeLatestBehind(statement: string, id: string, row: Row): void {
  const { latest } = queue();
  const rows = latest.get(statement);
  if (rows) rows.set(id, row);
  else latest.set(statement, new Map([[id, row]]));
}

/**
 * Like `writeBehind`, but all amounts of an `id` between two flushes are added up and written as one
 * row: `key`, then the sums.
 */
export function addBehind(
  statement: string,
  id: string,
  key: Row,
  amounts: readonly number[],
): void {
  const state = queue();
  const sums = state.sums.get(statement) ?? new Map<string, Sum>();
  state.sums.set(statement, sums);
  const sum = sums.get(id);
  if (sum) sum.amounts = sum.amounts.map((amount, index) => amount + (amounts[index] ?? 0));
  else if (sums.size < MAX_ROWS_PER_STATEMENT) sums.set(id, { key, amounts: [...amounts] });
  else state.dropped += 1;
}

/** Starts the flush of every second. Safe to call again. */
export function startWriteBehind(): void {
  const state = queue();
  state.timer ??= setInterval(() => {
    // The flush itself notes in the log when it begins to fail.
    flushWriteBehind().catch(() => {});
  }, FLUSH_EVERY_MS).unref();
}

/**
 * Ends the timer and writes what is left: a flush under way, then one more try.
 * @returns how many rows are lost: those that could not be written, and the dropped ones of which
 *   the log does not tell yet
 */
export async function stopWriteBehind(): Promise<number> {
  const state = queue();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
  await state.flushing?.catch(() => {});
  await flushWriteBehind().catch(() => {});
  const waiting = [...state.appended.values()].map((rows) => rows.length);
  const waitingById = [...state.latest.values(), ...state.sums.values()].map(({ size }) => size);
  return [...waiting, ...waitingById].reduce((sum, rows) => sum + rows, state.dropped);
}

/**
 * Writes the rows that are queued now; with a flush under way it is that one. A statement that fails
 * keeps its rows for the next flush and does not stop the others.
 * @throws AggregateError with the failure of each statement that failed, once all were tried
 */
export function flushWriteBehind(): Promise<void> {
  const state = queue();
  state.flushing ??= flushAll(state).finally(() => {
    state.flushing = null;
  });
  return state.flushing;
}

async function flushAll(state: Queue): Promise<void> {
  const failures: unknown[] = [];
  const attempt = (flush: Promise<void>) => flush.catch((error) => failures.push(error));
  // The health of the accounts is among the latest rows; the log of calls can wait.
  for (const [statement, byId] of state.latest) await attempt(flushLatest(statement, byId));
  for (const [statement, byId] of state.sums) await attempt(flushSums(statement, byId));
  for (const [statement, rows] of state.appended) {
    await attempt(flushAppended(state, statement, rows));
  }
  if (failures.length > 0) {
    const error = new AggregateError(failures, 'Some queued rows could not be written.');
    noteFailure(state, WHAT, error);
    throw error;
  }
  noteSuccess(state, WHAT);
  if (state.dropped === 0) return;
  log().warn({ rows: state.dropped }, 'write-behind queue was full: oldest rows dropped');
  state.dropped = 0;
}

// All write what is there at their start: under load there is always a newer row, and a loop until
// the queue is empty would write all the time and let the other statements wait.

async function flushLatest(statement: string, byId: Map<string, Row>): Promise<void> {
  for (let left = byId.size; left > 0; left -= BATCH_ROWS) {
    const batch = [...byId].slice(0, BATCH_ROWS);
    for (const [id] of batch) byId.delete(id);
    try {
      await writeBatch(
        statement,
        batch.map(([, row]) => row),
      );
    } catch (error) {
      // A row that came meanwhile is the later one.
      for (const [id, row] of batch) if (!byId.has(id)) byId.set(id, row);
      throw error;
    }
    await breath();
  }
}

async function flushSums(statement: string, byId: Map<string, Sum>): Promise<void> {
  for (let left = byId.size; left > 0; left -= BATCH_ROWS) {
    const batch = [...byId].slice(0, BATCH_ROWS);
    for (const [id] of batch) byId.delete(id);
    try {
      await writeBatch(
        statement,
        batch.map(([, { key, amounts }]) => [...key, ...amounts]),
      );
    } catch (error) {
      for (const [id, { key, amounts }] of batch) addBehind(statement, id, key, amounts);
      throw error;
    }
    await breath();
  }
}

async function flushAppended(state: Queue, statement: string, rows: Row[]): Promise<void> {
  for (let left = rows.length; left > 0; left -= BATCH_ROWS) {
    const batch = rows.splice(0, BATCH_ROWS);
    try {
      await writeBatch(statement, batch);
    } catch (error) {
      rows.unshift(...batch);
      dropOldest(state, rows);
      throw error;
    }
    await breath();
  }
}

function writeBatch(statement: string, rows: Row[]): Promise<unknown> {
  const json = JSON.stringify(rows);
  return query((db) => db.$executeRawUnsafe(statement, json));
}
