import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectWhole } from '../support/caller';
import { crashSettings } from '../support/crash';
import { eventually, type Pool, query, startPool } from '../support/pool';
import { requestRow } from '../support/rows';

let pool: Pool;
afterEach(() => pool.close());

const rowsOf = (sql: string, ...args: string[]) => query(pool.server.dataDir, { sql, args });

/** The tries of a call, with the labels of their accounts; written a moment after its row. */
async function triesOf(row: Record<string, unknown>) {
  const sql = `SELECT t.*, a."label" FROM "RequestAttempt" t JOIN "Account" a ON a."id" = t."accountId"
    WHERE t."logId" = ? ORDER BY t."number"`;
  let tries: Record<string, unknown>[] = [];
  await eventually(async () => {
    tries = await rowsOf(sql, String(row.id));
    return tries.length === row.tries;
  });
  return tries;
}

describe('the log', () => {
  it.each([true, false])(
    'tells of each try why the account was left: stream %s',
    async (stream) => {
      pool = await startPool({ settings: crashSettings });
      const scenario = 'http status=429 reason=QUOTA_EXCEEDED';
      for (const name of ['demo-1', 'demo-2']) {
        pool.standIn.setFault(name, { on: 'streamAssist', scenario });
      }
      const seen = await ask(pool, 'text value=third', { stream });
      expectWhole(seen, 'third');
      const row = await requestRow(pool, seen.requestId);
      const tries = await triesOf(row);
      expect(tries.map((each) => [each.number, each.outcome, each.status, each.reason])).toEqual([
        [1, 'quota', 429, 'QUOTA_EXCEEDED'],
        [2, 'quota', 429, 'QUOTA_EXCEEDED'],
        [3, 'served', null, null],
      ]);
      expect(new Set(tries.map((each) => each.label)).size).toBe(3);
      expect(row).toMatchObject({ status: 200, tries: 3, fault: 'quota', label: tries[2]?.label });
      const starts = tries.map((each) => Number(each.startMs));
      expect(starts).toEqual([...starts].sort((a, b) => a - b));
      for (const { startMs, durationMs } of tries) {
        expect(Number(startMs) + Number(durationMs)).toBeLessThanOrEqual(
          Number(row.durationMs) + 1,
        );
      }
      expect(tries.map((each) => each.firstByteMs)).toEqual([null, null, expect.any(Number)]);
    },
  );

  it('tells how long a call has waited for an account', async () => {
    pool = await startPool({ accounts: 1, settings: { maxConcurrentPerAccount: 1 } });
    const held = ask(pool, 'lockstep id=held n=1', { stream: false });
    await eventually(() => 'held' in pool.standIn.lockstep);
    const waiting = ask(pool, 'text value=waited', { stream: false });
    await sleep(300);
    pool.standIn.ackPiece('held');
    const row = await requestRow(pool, (await waiting).requestId);
    expect(row.queueMs).toBeGreaterThanOrEqual(200);
    expect(row.queueMs).toBeLessThanOrEqual(Number(row.durationMs));
    const [attempt] = await triesOf(row);
    expect(attempt?.startMs).toBeGreaterThanOrEqual(200);
    expect(await requestRow(pool, (await held).requestId)).toMatchObject({ queueMs: 0 });
  });

  it('tells what a call cost, at the price of its time, and adds the calls up', async () => {
    pool = await startPool();
    await rowsOf('UPDATE "Model" SET "pricePer1kTokens" = 2');
    await rowsOf(`UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'models'`);
    let row: Record<string, unknown> = {};
    await eventually(async () => {
      row = await requestRow(pool, (await ask(pool, 'echo', { stream: true })).requestId);
      return row.cost !== 0;
    });
    const tokens = Number(row.promptTokens) + Number(row.completionTokens);
    expect(row.cost).toBeCloseTo((tokens * 2) / 1_000);
    pool.standIn.setFault('*', { on: 'streamAssist', scenario: 'http status=500' });
    const failed = await requestRow(pool, (await ask(pool, 'echo', { stream: true })).requestId);
    expect(failed).toMatchObject({ status: 502, cost: 0 });
    const sums = `count(*) AS "requests", sum("promptTokens") AS "promptTokens", sum("cost") AS "cost",
      sum("durationMs") AS "durationMs", sum("firstByteMs") AS "firstByteMs"`;
    await eventually(async () => {
      const [logged] = await rowsOf(`SELECT ${sums} FROM "RequestLog"`);
      const [daily] = await rowsOf(
        `SELECT ${sums.replace('count(*)', 'sum("requests")')} FROM "UsageDaily"`,
      );
      return JSON.stringify(logged) === JSON.stringify(daily);
    });
    expect(await rowsOf('SELECT DISTINCT "model" FROM "UsageDaily"')).toEqual([
      { model: 'gemini-enterprise' },
    ]);
  });

  it('has a caller that left as such, and its try, too', async () => {
    pool = await startPool();
    const leaver = new AbortController();
    const response = await pool.call(
      '/v1/chat/completions',
      {
        model: 'gemini-enterprise',
        messages: [{ role: 'user', content: '[[count n=1000 ms=20]]' }],
        stream: true,
      },
      { signal: leaver.signal },
    );
    await response.body?.getReader().read();
    leaver.abort();
    const row = await requestRow(pool, response.headers.get('x-request-id') ?? '');
    expect(row).toMatchObject({ status: 499, fault: 'client_left' });
    const [attempt, ...more] = await triesOf(row);
    expect([attempt, more]).toMatchObject([{ outcome: 'client_left' }, []]);
    expect(attempt?.durationMs).toBeGreaterThan(0);
  });
});

describe('the rows', () => {
  it('are all there after a stop, in whatever moment', async () => {
    pool = await startPool();
    const asked = Array.from({ length: 60 }, () => ask(pool, 'text value=kept', { stream: true }));
    for (const seen of await Promise.all(asked)) expectWhole(seen, 'kept');
    expect((await pool.server.stop()).exitCode).toBe(0);
    const count = async (what: string, table: string) =>
      (await rowsOf(`SELECT ${what} AS "count" FROM "${table}"`))[0]?.count;
    expect(await count('count(*)', 'RequestLog')).toBe(60);
    expect(await count('max("change")', 'RequestLog')).toBe(60);
    expect(await count('count(*)', 'RequestAttempt')).toBe(60);
    expect(await count('sum("requests")', 'UsageDaily')).toBe(60);
  });

  it('are lost by kill -9 for the last second at most', async () => {
    pool = await startPool();
    const ended: { requestId: string; at: number }[] = [];
    const stopAt = Date.now() + 3_500;
    while (Date.now() < stopAt) {
      const { requestId } = await ask(pool, 'text value=kept', { stream: ended.length % 2 === 0 });
      ended.push({ requestId, at: Date.now() });
    }
    const killedAt = Date.now();
    await pool.server.kill();
    // The timer of every second is late on a busy machine.
    const old = ended.filter(({ at }) => at < killedAt - 1_500).map(({ requestId }) => requestId);
    expect(old.length).toBeGreaterThan(10);
    const rows = await rowsOf('SELECT "id", "requestId" FROM "RequestLog"');
    const kept = new Set(rows.map(({ requestId }) => requestId));
    expect(old.filter((requestId) => !kept.has(requestId))).toEqual([]);
  });
});
