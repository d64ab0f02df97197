import { execute } from '@/platform/db';
import { log } from '@/platform/log';
import { noteFailure, noteSuccess, type Outage } from '@/platform/outage';
import { processState } from '@/platform/process-state';

/**
 * Writes that nobody waits for: log rows, counters, last-used marks. They are kept in memory and
 * flushed every second and at stop, so that the hot path makes no database write.
 */

const FLUSH_EVERY_MS = 1_000;
// One statement of this many rows holds the database for some 10 ms, and the event loop for one.
const BATCH_ROWS = 500;
// Beyond this the oldest rows are dropped: a database that is gone for long must not eat the memory.
const MAX_ROWS_PER_STATEMENT = 20_000;
const WHAT = 'writing of queued rows';

type Row = readonly (string | number | null)[];

/** The rows for each of several statements. */
type RowsInOrder = readonly (readonly Row[])[];

/** A row whose last columns are sums. */
interface Sum {
  key: Row;
  amounts: number[];
}

interface Queue extends Outage {
  /** Rows by statement. */
  appended: Map<string, Row[]>;
  /** What belongs together, by the statements that it is for. */
  ordered: Map<readonly string[], RowsInOrder[]>;
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
    ordered: new Map(),
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
  append(queue().appended, statement, row);
}

/**
 * Like `writeBehind`, for rows that belong together: those for a later one of `statements`, which
 * are always the same object, are written only after those for the earlier ones. Until all are, they
 * come again: each statement must bear rows that are there already.
 */
export function writeInOrderBehind(statements: readonly string[], rows: RowsInOrder): void {
  append(queue().ordered, statements, rows);
}

function append<K, T>(queued: Map<K, T[]>, key: K, entry: T): void {
  const entries = queued.get(key);
  if (!entries) queued.set(key, [entry]);
  else {
    entries.push(entry);
    dropOldest(entries);
  }
}

function dropOldest(entries: unknown[]): void {
  const surplus = entries.length - MAX_ROWS_PER_STATEMENT;
  if (surplus <= 0) return;
  entries.splice(0, surplus);
  queue().dropped += surplus;
}

/** Like `writeBehind`, but only the last row of each `id` between two flushes is written. */
export function writeLatestBehind(statement: string, id: string, row: Row): void {
  const state = queue();
  const rows = state.latest.get(statement);
  if (!rows) state.latest.set(statement, new Map([[id, row]]));
  else {
    rows.set(id, row);
    dropOldestId(state, rows);
  }
}

function dropOldestId(state: Queue, rows: Map<string, Row>): void {
  if (rows.size <= MAX_ROWS_PER_STATEMENT) return;
  const [oldest = ''] = rows.keys();
  rows.delete(oldest);
  state.dropped += 1;
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
  let sums = state.sums.get(statement);
  if (!sums) {
    sums = new Map();
    state.sums.set(statement, sums);
  }
  const sum = sums.get(id);
  if (sum) add(sum.amounts, amounts);
  else if (sums.size < MAX_ROWS_PER_STATEMENT) sums.set(id, { key, amounts: [...amounts] });
  else state.dropped += 1;
}

function add(sums: number[], amounts: readonly number[]): void {
  amounts.forEach((amount, index) => {
    sums[index] = (sums[index] ?? 0) + amount;
  });
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
  const queues = [...state.appended.values(), ...state.ordered.values()];
  const waiting = queues.map((entries) => entries.length);
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
  for (const statement of state.latest.keys()) await attempt(flushLatest(state, statement));
  for (const statement of state.sums.keys()) await attempt(flushSums(state, statement));
  for (const [statement, rows] of state.appended) {
    await attempt(flushAppended(rows, (batch) => writeBatch(statement, batch)));
  }
  for (const [statements, entries] of state.ordered) {
    await attempt(flushAppended(entries, (batch) => writeInOrder(statements, batch)));
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

function flushLatest({ latest }: Queue, statement: string): Promise<void> {
  return flushById(
    latest,
    statement,
    (row) => row,
    (id, row) => writeLatestBehind(statement, id, row),
  );
}

function flushSums({ sums }: Queue, statement: string): Promise<void> {
  return flushById(
    sums,
    statement,
    ({ key, amounts }) => [...key, ...amounts],
    (id, { key, amounts }) => addBehind(statement, id, key, amounts),
  );
}

/** `addLater` adds to what is left after a failure what has come since. */
async function flushById<T>(
  queued: Map<string, Map<string, T>>,
  statement: string,
  toRow: (entry: T) => Row,
  addLater: (id: string, entry: T) => void,
): Promise<void> {
  const taken = queued.get(statement);
  if (!taken || taken.size === 0) return;
  queued.set(statement, new Map());
  try {
    for (const batch of batchesOf(taken)) {
      await writeBatch(
        statement,
        batch.map(([, entry]) => toRow(entry)),
      );
      for (const [id] of batch) taken.delete(id);
    }
  } catch (error) {
    const later = queued.get(statement) ?? [];
    queued.set(statement, taken);
    for (const [id, entry] of later) addLater(id, entry);
    throw error;
  }
}

function* batchesOf<T>(entries: Iterable<T>): Generator<T[], void, undefined> {
  let batch: T[] = [];
  for (const entry of entries) {
    batch.push(entry);
    if (batch.length < BATCH_ROWS) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function flushAppended<T>(entries: T[], write: (batch: T[]) => Promise<void>): Promise<void> {
  for (let left = entries.length; left > 0; left -= BATCH_ROWS) {
    const batch = entries.splice(0, BATCH_ROWS);
    try {
      await write(batch);
    } catch (error) {
      entries.unshift(...batch);
      dropOldest(entries);
      throw error;
    }
  }
}

async function writeInOrder(statements: readonly string[], entries: RowsInOrder[]): Promise<void> {
  for (const [index, statement] of statements.entries()) {
    const rows = entries.flatMap((entry) => entry[index] ?? []);
    for (const batch of batchesOf(rows)) await writeBatch(statement, batch);
  }
}

function writeBatch(statement: string, rows: Row[]): Promise<void> {
  const json = JSON.stringify(rows);
  return execute(statement, UNFIT.test(json) ? JSON.stringify(rows, fit) : json);
}

/** How JSON writes half a character, and a NUL; also found where a text says so itself. */
const UNFIT = /\\u(?:d[89a-f]|0000)/;

/** SQLite would store half a character, and libsql ends the process that reads it; it stops at a NUL. */
function fit(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\ufffd') : value;
}
