import { afterAll, beforeEach, expect, it } from 'vitest';
import {
  logRequest,
  pruneRequestLogs,
  pruneUsageDaily,
  type RequestLog,
} from '@/features/usage/usage';
import { closeDatabase, query } from '@/platform/db';
import { processState } from '@/platform/process-state';
import { rowId } from '@/platform/row-id';
import { flushWriteBehind, writeInOrderBehind } from '@/platform/write-behind';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

beforeEach(async () => {
  await query((db) =>
    db.$transaction([
      db.requestLog.deleteMany(),
      db.requestAttempt.deleteMany(),
      db.usageDaily.deleteMany(),
    ]),
  );
});
afterAll(closeDatabase);

const DAY_MS = 86_400_000;
const NOON = Date.UTC(2026, 0, 31, 12);
const count = () => query((db) => db.requestLog.count());
const served = { startMs: 0, firstByteMs: 5, durationMs: 20, status: null, reason: null };
const attempt = { ...served, account: { id: 'account' }, outcome: 'served' };

function call(changes: Partial<RequestLog> = {}): RequestLog {
  const startedAtMs = changes.startedAtMs ?? NOON;
  return {
    id: rowId(startedAtMs),
    startedAtMs,
    requestId: 'request',
    apiKeyId: 'key',
    endpoint: '/v1/chat/completions',
    model: 'auto',
    modelId: 'gemini-enterprise',
    stream: false,
    status: 200,
    code: null,
    fault: null,
    attempts: [attempt],
    queueMs: 0,
    firstByteMs: null,
    durationMs: 30,
    promptTokens: 3,
    completionTokens: 2,
    reasoningTokens: 1,
    cost: 0.5,
    ...changes,
  };
}

it('lets the server work while it prunes', async () => {
  const now = Date.now();
  const oldId = rowId(now - 40 * DAY_MS).slice(0, 10);
  await query(
    (
      db,
    ) => db.$executeRaw`INSERT INTO "RequestLog" ("id","createdAt","requestId","apiKeyId","endpoint",
        "stream","status","tries","durationMs","promptTokens","completionTokens","reasoningTokens","change")
      SELECT ${oldId} || printf('%016d', value), '2026-01-01T00:00:00.000+00:00', 'request', 'key',
        '/v1/chat/completions', 0, 200, 1, 1, 1, 1, 0, value FROM generate_series(1, 20000)`,
  );
  await query(
    (db) => db.$executeRaw`INSERT INTO "RequestAttempt"
      SELECT "id", 1, 'account', 0, NULL, 1, 'served', NULL, NULL FROM "RequestLog"`,
  );
  logRequest(call({ startedAtMs: now }));
  await flushWriteBehind();
  expect(await count()).toBe(20_001);
  let ticks = 0;
  const ticking = setInterval(() => {
    ticks += 1;
  }, 1);
  const pruned = await pruneRequestLogs(30, now, new AbortController().signal);
  clearInterval(ticking);
  expect(pruned).toBe(20_000);
  expect(await count()).toBe(1);
  expect(await query((db) => db.requestAttempt.count())).toBe(1);
  expect(ticks).toBeGreaterThan(10);
});

it('ends between two batches when it is told to', async () => {
  expect(await pruneRequestLogs(30, Date.now(), AbortSignal.abort())).toBe(0);
});

it('takes a row twice that was written although the write seemed to fail', async () => {
  logRequest(call());
  type Queued = Parameters<typeof writeInOrderBehind>;
  const { ordered } = processState<{ ordered: Map<Queued[0], Queued[1][]> }>('write-behind', () => {
    throw new Error('nothing is queued');
  });
  const queued = [...ordered].flatMap(([statements, entries]) =>
    entries.map((rows): Queued => [statements, rows]),
  );
  await flushWriteBehind();
  for (const each of queued) writeInOrderBehind(...each);
  logRequest(call());
  await flushWriteBehind();
  expect(await count()).toBe(2);
  expect(await query((db) => db.requestAttempt.count())).toBe(2);
});

it('keeps a row for each try, in order', async () => {
  const refused = { ...served, outcome: 'quota', status: 429, reason: 'QUOTA_EXCEEDED' };
  const attempts = [
    { ...refused, account: { id: 'first' }, firstByteMs: null },
    { ...attempt, account: { id: 'second' }, startMs: 20 },
  ];
  const logged = call({ attempts, fault: 'quota', queueMs: 7 });
  logRequest(logged);
  await flushWriteBehind();
  expect(await query((db) => db.requestLog.findFirst())).toMatchObject({
    id: logged.id,
    accountId: 'second',
    tries: 2,
    fault: 'quota',
    queueMs: 7,
    cost: 0.5,
  });
  const rows = await query((db) => db.requestAttempt.findMany({ orderBy: { number: 'asc' } }));
  expect(rows).toEqual(
    attempts.map(({ account, ...each }, index) => ({
      logId: logged.id,
      number: index + 1,
      accountId: account.id,
      ...each,
    })),
  );
});

it('writes no row before its tries, nor without them', async () => {
  const ddl = (sql: string) => query((db) => db.$executeRawUnsafe(sql));
  const attempts = [{ ...attempt, account: { id: 'first' } }, attempt];
  const isComplete = `new."tries" = (SELECT count(*) FROM "RequestAttempt" WHERE "logId" = new."id")`;
  await ddl(`CREATE TRIGGER "complete" BEFORE INSERT ON "RequestLog" WHEN NOT (${isComplete})
    BEGIN SELECT raise(ABORT, 'a row without its tries'); END`);
  await ddl(`CREATE TRIGGER "refuse" BEFORE INSERT ON "RequestAttempt"
    BEGIN SELECT raise(ABORT, 'no tries now'); END`);
  for (let number = 0; number < 250; number++) logRequest(call({ attempts }));
  await expect(flushWriteBehind()).rejects.toThrow();
  logRequest(call({ attempts: [] }));
  await expect(flushWriteBehind()).rejects.toThrow();
  expect(await count()).toBe(0);
  await ddl('DROP TRIGGER "refuse"');
  await flushWriteBehind();
  await ddl('DROP TRIGGER "complete"');
  expect(await count()).toBe(251);
  expect(await query((db) => db.requestAttempt.count())).toBe(500);
});

it('numbers the rows in the order in which they are written', async () => {
  for (let number = 0; number < 450; number++) {
    // Older calls may end later.
    logRequest(call({ startedAtMs: NOON - number, requestId: String(number) }));
  }
  await flushWriteBehind();
  logRequest(call({ startedAtMs: NOON - DAY_MS, requestId: '450' }));
  await flushWriteBehind();
  const rows = await query((db) => db.requestLog.findMany({ orderBy: { change: 'asc' } }));
  expect(rows.map(({ change }) => Number(change))).toEqual(rows.map((_, index) => index + 1));
  expect(rows.map(({ requestId }) => requestId)).toEqual(rows.map((_, index) => String(index)));
});

it('gives no number twice, also when all rows are old', async () => {
  const { signal } = new AbortController();
  for (let number = 0; number < 600; number++) {
    logRequest(call({ startedAtMs: NOON + number, requestId: String(number) }));
  }
  await flushWriteBehind();
  const later = NOON + 31 * DAY_MS;
  expect(await pruneRequestLogs(30, later, signal)).toBe(599);
  expect(await pruneRequestLogs(30, later, signal)).toBe(0);
  expect(await query((db) => db.requestLog.findMany())).toMatchObject([
    { requestId: '599', change: 600n },
  ]);
  expect(await query((db) => db.requestAttempt.count())).toBe(1);
  logRequest(call({ startedAtMs: later, requestId: 'new' }));
  await flushWriteBehind();
  expect(await pruneRequestLogs(30, later, signal)).toBe(1);
  expect(await query((db) => db.requestLog.findMany())).toMatchObject([
    { requestId: 'new', change: 601n },
  ]);
  expect(await query((db) => db.requestAttempt.count())).toBe(1);
});

it('adds the calls up by day, key, model and account', async () => {
  logRequest(call({ firstByteMs: 10 }));
  logRequest(call({ status: 503, firstByteMs: null, cost: 0, attempts: [] }));
  logRequest(call({ status: 499, firstByteMs: 20 }));
  await flushWriteBehind();
  logRequest(call({ status: 502, durationMs: 3_000_000_000 }));
  logRequest(call({ modelId: null }));
  logRequest(call({ startedAtMs: NOON + DAY_MS }));
  logRequest(call({ apiKeyId: 'other' }));
  await flushWriteBehind();
  const days = await query((db) =>
    db.usageDaily.findMany({
      orderBy: [{ day: 'asc' }, { apiKeyId: 'asc' }, { model: 'asc' }, { accountId: 'asc' }],
    }),
  );
  expect(days.map((each) => [each.day, each.apiKeyId, each.model, each.accountId])).toEqual([
    ['2026-01-31', 'key', '', 'account'],
    ['2026-01-31', 'key', 'gemini-enterprise', ''],
    ['2026-01-31', 'key', 'gemini-enterprise', 'account'],
    ['2026-01-31', 'other', 'gemini-enterprise', 'account'],
    ['2026-02-01', 'key', 'gemini-enterprise', 'account'],
  ]);
  expect(days[2]).toMatchObject({
    requests: 3,
    failures: 1,
    promptTokens: 9n,
    completionTokens: 6n,
    reasoningTokens: 3n,
    cost: 1.5,
    durationMs: 3_000_000_060n,
    firstByteMs: 30n,
    firstBytes: 2,
  });
  expect(days[1]).toMatchObject({ requests: 1, failures: 1, cost: 0, firstBytes: 0 });
});

it('keeps the sums of the days that are told', async () => {
  const { signal } = new AbortController();
  for (const days of [0, 399, 400, 401, 500])
    logRequest(call({ startedAtMs: NOON - days * DAY_MS }));
  await flushWriteBehind();
  expect(await pruneUsageDaily(400, NOON, signal)).toBe(2);
  expect(await query((db) => db.usageDaily.count())).toBe(3);
});
