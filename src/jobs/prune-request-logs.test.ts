import { afterAll, expect, it } from 'vitest';
import { logRequest } from '@/features/usage/usage';
import { schedule } from '@/jobs/schedule';
import { runJob } from '@/jobs/scheduler';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { rowId } from '@/platform/row-id';
import { flushWriteBehind } from '@/platform/write-behind';
import { newDataFolder } from '../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const DAY_MS = 86_400_000;

function logOf(startedAtMs: number, requestId: string) {
  logRequest({
    id: rowId(startedAtMs),
    startedAtMs,
    requestId,
    apiKeyId: 'key',
    endpoint: '/v1/chat/completions',
    model: 'gemini-enterprise',
    modelId: 'gemini-enterprise',
    stream: true,
    status: 200,
    code: null,
    fault: null,
    attempts: [],
    queueMs: 0,
    firstByteMs: 12,
    durationMs: 34,
    promptTokens: 5,
    completionTokens: 6,
    reasoningTokens: 0,
    cost: 0,
  });
}

it('keeps the rows of the retention setting, and leaves a lease that tells how it went', async () => {
  const now = Date.now();
  for (let number = 0; number < 2_500; number++) logOf(now - 31 * DAY_MS - number, `old-${number}`);
  logOf(now - 29 * DAY_MS, 'young');
  logOf(now, 'new');
  await flushWriteBehind();
  const job = schedule.find(({ name }) => name === 'prune-request-logs');
  if (!job) throw new Error('no such job');
  await runJob(job);
  const rows = await query((db) => db.requestLog.findMany({ orderBy: { id: 'asc' } }));
  expect(rows.map((row) => row.requestId)).toEqual(['young', 'new']);
  expect(rows[1]).toMatchObject({
    createdAt: new Date(now),
    stream: true,
    status: 200,
    code: null,
    firstByteMs: 12,
    durationMs: 34,
    promptTokens: 5,
    completionTokens: 6,
  });
  const lease = await query((db) => db.jobLease.findUnique({ where: { name: job.name } }));
  expect(lease).toMatchObject({ lastResult: 'ok' });
});
