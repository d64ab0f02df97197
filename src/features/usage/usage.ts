import { setImmediate as breath } from 'node:timers/promises';
import { query, sqlTime } from '@/platform/db';
import { rowId } from '@/platform/row-id';
import { writeBehind } from '@/platform/write-behind';

// So many hold the event loop for some milliseconds.
const PRUNE_BATCH_ROWS = 500;
const DAY_MS = 86_400_000;

/** One call of /v1, as it ended. */
export interface RequestLog {
  startedAtMs: number;
  requestId: string;
  apiKeyId: string;
  endpoint: string;
  model: string | null;
  stream: boolean;
  /** What the caller got; 499 when it left first. */
  status: number;
  code: string | null;
  /** The last upstream fault, also of a call that ended well after a failover. */
  fault: string | null;
  /** The account that served it, or was tried last. */
  accountId: string | null;
  tries: number;
  firstByteMs: number | null;
  durationMs: number;
  promptTokens: number;
  completionTokens: number;
  reasoningTokens: number;
}

// A batch whose failure was told too late may be there already when it is written again.
const INSERT = `INSERT OR IGNORE INTO "RequestLog" ("id","createdAt","requestId","apiKeyId","endpoint","model",
  "stream","status","code","fault","accountId","tries","firstByteMs","durationMs","promptTokens",
  "completionTokens","reasoningTokens")
  SELECT value->>0, ${sqlTime('value->>1')}, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
    value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15,
    value->>16 FROM json_each(?)`;

/** Notes a call; written within a second, off the hot path. */
export function logRequest(row: RequestLog): void {
  writeBehind(INSERT, [
    rowId(row.startedAtMs),
    row.startedAtMs,
    row.requestId,
    row.apiKeyId,
    row.endpoint,
    row.model,
    row.stream ? 1 : 0,
    row.status,
    row.code,
    row.fault,
    row.accountId,
    row.tries,
    row.firstByteMs,
    row.durationMs,
    row.promptTokens,
    row.completionTokens,
    row.reasoningTokens,
  ]);
}

/**
 * Deletes the rows that are older than `retentionDays`, in batches between which requests run, until
 * `signal` says stop.
 * @returns how many went
 */
export async function pruneRequestLogs(
  retentionDays: number,
  nowMs: number,
  signal: AbortSignal,
): Promise<number> {
  // A ULID begins with its time: ten characters.
  const oldest = rowId(nowMs - retentionDays * DAY_MS).slice(0, 10);
  for (let pruned = 0; ; ) {
    const deleted = await query(
      (db) => db.$executeRaw`DELETE FROM "RequestLog" WHERE "id" IN
        (SELECT "id" FROM "RequestLog" WHERE "id" < ${oldest} ORDER BY "id" LIMIT ${PRUNE_BATCH_ROWS})`,
    );
    pruned += deleted;
    if (deleted < PRUNE_BATCH_ROWS || signal.aborted) return pruned;
    await breath();
  }
}
