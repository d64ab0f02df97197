import { afterAll, expect, it } from 'vitest';
import { logRequest, pruneRequestLogs } from '@/features/usage/usage';
import { closeDatabase, query } from '@/platform/db';
import { processState } from '@/platform/process-state';
import { rowId } from '@/platform/row-id';
import { flushWriteBehind, writeBehind } from '@/platform/write-behind';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(closeDatabase);

const DAY_MS = 86_400_000;
const count = () => query((db) => db.requestLog.count());

it('lets the server work while it prunes', async () => {
  const now = Date.now();
  const oldId = rowId(now - 40 * DAY_MS).slice(0, 10);
  await query(
    (db) => db.$executeRaw`INSERT INTO "RequestLog" SELECT ${oldId} || printf('%016d', value),
      '2026-01-01T00:00:00.000+00:00', 'request', 'key', '/v1/chat/completions', NULL, 0, 200, NULL,
      NULL, NULL, 1, NULL, 1, 1, 1, 0 FROM generate_series(1, 20000)`,
  );
  expect(await count()).toBe(20_000);
  let ticks = 0;
  const ticking = setInterval(() => {
    ticks += 1;
  }, 1);
  const pruned = await pruneRequestLogs(30, now, new AbortController().signal);
  clearInterval(ticking);
  expect(pruned).toBe(20_000);
  expect(await count()).toBe(0);
  expect(ticks).toBeGreaterThan(10);
});

it('ends between two batches when it is told to', async () => {
  expect(await pruneRequestLogs(30, Date.now(), AbortSignal.abort())).toBe(0);
});

it('takes a row twice that was written although the write seemed to fail', async () => {
  logRequest({
    startedAtMs: Date.now(),
    requestId: 'once',
    apiKeyId: 'key',
    endpoint: '/v1/chat/completions',
    model: null,
    stream: false,
    status: 200,
    code: null,
    fault: null,
    accountId: null,
    tries: 1,
    firstByteMs: null,
    durationMs: 1,
    promptTokens: 1,
    completionTokens: 1,
    reasoningTokens: 0,
  });
  type Appended = Map<string, (string | number | null)[][]>;
  const { appended } = processState<{ appended: Appended }>('write-behind', () => {
    throw new Error('nothing is queued');
  });
  const queued = [...appended].map(([statement, rows]) => ({ statement, rows: [...rows] }));
  await flushWriteBehind();
  for (const { statement, rows } of queued) for (const row of rows) writeBehind(statement, row);
  await flushWriteBehind();
  expect(await count()).toBe(1);
});
