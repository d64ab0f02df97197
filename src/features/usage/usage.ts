import { setImmediate as breath } from 'node:timers/promises';
import { query, sqlTime } from '@/platform/db';
import { rowId } from '@/platform/row-id';
import { addBehind, writeInOrderBehind } from '@/platform/write-behind';

// So many hold the event loop for some milliseconds.
const PRUNE_BATCH_ROWS = 500;
const DAY_MS = 86_400_000;

/** One try of a call. */
interface RequestAttempt {
  account: { id: string };
  /** Since the call began. */
  startMs: number;
  /** Since the try began: the first that the upstream said. */
  firstByteMs: number | null;
  durationMs: number;
  /** `served`, or the fault for which the account was left. */
  outcome: string;
  /** Of the upstream's refusal, with its own word for it; never what was said in a conversation. */
  status: number | null;
  reason: string | null;
}

/** One call of /v1, as it ended. */
export interface RequestLog {
  /** A row id of `startedAtMs`. */
  id: string;
  startedAtMs: number;
  requestId: string;
  apiKeyId: string;
  endpoint: string;
  /** As the caller wrote it. */
  model: string | null;
  /** The id of the model that this is; null if it is none. */
  modelId: string | null;
  stream: boolean;
  /** What the caller got; 499 when it left first. */
  status: number;
  code: string | null;
  /** The last upstream fault, also of a call that ended well after a failover. */
  fault: string | null;
  /** In order; the last is that of the account that served it, or was tried last. */
  attempts: readonly RequestAttempt[];
  /** Waits for an account, all together. */
  queueMs: number;
  firstByteMs: number | null;
  durationMs: number;
  promptTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  cost: number;
}

// A batch whose failure was told too late may be there already when it is written again: log and
// tries are then ignored.

const INSERT_ATTEMPT = `INSERT OR IGNORE INTO "RequestAttempt" ("logId","number","accountId","startMs",
  "firstByteMs","durationMs","outcome","status","reason")
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8
  FROM json_each(?)`;

// Numbered in the order in which rows become visible, so that who reads on from a number misses none.
const INSERT_LOG = `INSERT OR IGNORE INTO "RequestLog" ("id","createdAt","requestId","apiKeyId","endpoint",
  "model","stream","status","code","fault","accountId","tries","queueMs","firstByteMs","durationMs",
  "promptTokens","completionTokens","reasoningTokens","cost","change")
  SELECT value->>0, ${sqlTime('value->>1')}, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
    value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15,
    value->>16, value->>17, value->>18,
    (SELECT coalesce(max("change"), 0) FROM "RequestLog") + row_number() OVER (ORDER BY key)
  FROM json_each(?)`;

// The tries first: who reads on from a number finds each row with all of its tries.
const INSERTS = [INSERT_ATTEMPT, INSERT_LOG];

const ADD_DAILY = `INSERT INTO "UsageDaily" ("day","apiKeyId","model","accountId","requests","failures",
  "promptTokens","completionTokens","reasoningTokens","cost","durationMs","firstByteMs","firstBytes")
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
    value->>8, value->>9, value->>10, value->>11, value->>12
  FROM json_each(?) WHERE true
  ON CONFLICT ("day","apiKeyId","model","accountId") DO UPDATE SET
    "requests" = "requests" + excluded."requests",
    "failures" = "failures" + excluded."failures",
    "promptTokens" = "promptTokens" + excluded."promptTokens",
    "completionTokens" = "completionTokens" + excluded."completionTokens",
    "reasoningTokens" = "reasoningTokens" + excluded."reasoningTokens",
    "cost" = "cost" + excluded."cost",
    "durationMs" = "durationMs" + excluded."durationMs",
    "firstByteMs" = "firstByteMs" + excluded."firstByteMs",
    "firstBytes" = "firstBytes" + excluded."firstBytes"`;

/** Notes a call with its tries, and adds it to its day; written within a second, off the hot path. */
export function logRequest(call: RequestLog): void {
  const { id, apiKeyId, attempts, firstByteMs, durationMs, cost } = call;
  const accountId = attempts.at(-1)?.account.id ?? null;
  const row = [
    id,
    call.startedAtMs,
    call.requestId,
    apiKeyId,
    call.endpoint,
    call.model,
    call.stream ? 1 : 0,
    call.status,
    call.code,
    call.fault,
    accountId,
    attempts.length,
    call.queueMs,
    firstByteMs,
    durationMs,
    call.promptTokens,
    call.completionTokens,
    call.reasoningTokens,
    cost,
  ];
  const attemptRows = attempts.map((attempt, index) => toAttemptRow(id, index + 1, attempt));
  writeInOrderBehind(INSERTS, [attemptRows, [row]]);
  const day = [utcDay(call.startedAtMs), apiKeyId, call.modelId ?? '', accountId ?? ''];
  addBehind(ADD_DAILY, day.join(' '), day, [
    1,
    isFailure(call.status) ? 1 : 0,
    call.promptTokens,
    call.completionTokens,
    call.reasoningTokens,
    cost,
    durationMs,
    firstByteMs ?? 0,
    firstByteMs === null ? 0 : 1,
  ]);
}

function toAttemptRow(logId: string, number: number, attempt: RequestAttempt) {
  return [
    logId,
    number,
    attempt.account.id,
    attempt.startMs,
    attempt.firstByteMs,
    attempt.durationMs,
    attempt.outcome,
    attempt.status,
    attempt.reason,
  ];
}

/** A caller that left is no failure. */
function isFailure(status: number): boolean {
  return status >= 400 && status !== 499;
}

let knownDay = { number: Number.NaN, name: '' };

function utcDay(timeMs: number): string {
  const number = Math.floor(timeMs / DAY_MS);
  if (number !== knownDay.number) {
    knownDay = { number, name: new Date(timeMs).toISOString().slice(0, 10) };
  }
  return knownDay.name;
}

/**
 * Deletes the rows of calls that are older than `retentionDays`, with their tries, in batches between
 * which requests run, until `signal` says stop. The row that was written last stays, whatever its
 * age: the numbers go on from it.
 * @returns how many calls went
 */
export async function pruneRequestLogs(
  retentionDays: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  // A ULID begins with its time: ten characters.
  const oldest = rowId(nowMs - retentionDays * DAY_MS).slice(0, 10);
  await prune(signal, () =>
    query(
      (db) => db.$executeRaw`DELETE FROM "RequestAttempt" WHERE ("logId", "number") IN
        (SELECT "logId", "number" FROM "RequestAttempt" WHERE "logId" < ${oldest}
          AND "logId" IS NOT (SELECT "id" FROM "RequestLog" ORDER BY "change" DESC LIMIT 1)
          ORDER BY "logId", "number" LIMIT ${PRUNE_BATCH_ROWS})`,
    ),
  );
  return prune(signal, () =>
    query(
      (db) => db.$executeRaw`DELETE FROM "RequestLog" WHERE "id" IN
        (SELECT "id" FROM "RequestLog" WHERE "id" < ${oldest}
          AND "change" < (SELECT max("change") FROM "RequestLog")
          ORDER BY "id" LIMIT ${PRUNE_BATCH_ROWS})`,
    ),
  );
}

/** Likewise the sums of days that are older than `retentionDays`. */
export function pruneUsageDaily(
  retentionDays: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  const oldest = utcDay(nowMs - retentionDays * DAY_MS);
  return prune(signal, () =>
    query(
      (
        db,
      ) => db.$executeRaw`DELETE FROM "UsageDaily" WHERE ("day", "apiKeyId", "model", "accountId") IN
        (SELECT "day", "apiKeyId", "model", "accountId" FROM "UsageDaily" WHERE "day" < ${oldest}
          ORDER BY "day" LIMIT ${PRUNE_BATCH_ROWS})`,
    ),
  );
}

/** Runs `deleteBatch`, which tells how many rows went, until nothing is left or `signal` says stop. */
async function prune(signal: AbortSignal, deleteBatch: () => Promise<number>): Promise<number> {
  for (let pruned = 0; ; ) {
    const deleted = await deleteBatch();
    pruned += deleted;
    if (deleted < PRUNE_BATCH_ROWS || signal.aborted) return pruned;
    await breath();
  }
}
