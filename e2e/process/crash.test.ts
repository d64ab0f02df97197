import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectWhole } from '../support/caller';
import { eventually, type Pool, query, startPool } from '../support/pool';
import { accountRow } from '../support/rows';
import { startServer } from '../support/server';

/** What the write-behind queue may lose, with room for a slow machine. */
const LOST_MS = 1_500;

let pool: Pool;
afterEach(() => pool.close());

const chat = () => ask(pool, 'text value=ok', { stream: false });
const sql = (text: string) => query(pool.server.dataDir, { sql: text, args: [] });

/** Requests of 16 clients until `stop`; what is cut off does not count. */
function load(): { stop: () => Promise<void> } {
  let isOver = false;
  const client = async () => {
    while (!isOver) await chat().catch(() => null);
  };
  const clients = Promise.all(Array.from({ length: 16 }, client));
  return {
    async stop() {
      isOver = true;
      await clients;
    },
  };
}

describe('kill -9 under load', () => {
  it('loses at most the last second: rests, quotas, counters; and no table is damaged', async () => {
    pool = await startPool({ accounts: 6, env: { LOG_LEVEL: 'warn' } });
    const { standIn } = pool;
    standIn.setFault('demo-1', {
      on: 'streamAssist',
      scenario: 'http status=429 reason=QUOTA_EXCEEDED',
    });
    standIn.setFault('demo-2', { on: 'key', scenario: 'expired-sign-in' });
    standIn.setFault('demo-3', { on: 'streamAssist', scenario: 'http status=429 retry-after=600' });
    const served = () =>
      standIn.log.filter(
        ({ call, account }) => call === 'streamAssist' && /demo-[456]/.test(account ?? ''),
      );
    const surelyWritten = (nowMs: number) =>
      served().filter(({ at }) => at < nowMs - LOST_MS).length;
    const traffic = load();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    // A busy machine takes longer for so many.
    await eventually(() => surelyWritten(Date.now()) > 50, 20_000);
    const killedAt = Date.now();
    await pool.server.kill();
    await traffic.stop();

    expect(await sql('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    const surely = surelyWritten(killedAt);
    expect(surely).toBeGreaterThan(50);
    const [quota] = await sql(
      `SELECT sum("used") AS "used" FROM "AccountQuota" WHERE "kind" = 'text'`,
    );
    const [logged] = await sql('SELECT count(*) AS "rows" FROM "RequestLog" WHERE "status" = 200');
    for (const counted of [quota?.used, logged?.rows]) {
      expect(counted).toBeGreaterThanOrEqual(surely);
      expect(counted).toBeLessThanOrEqual(served().length);
    }
    const before = await Promise.all([1, 2, 3].map((number) => accountRow(pool, number)));
    expect(before.map(({ condition, fault }) => [condition, fault])).toEqual([
      ['ok', 'quota'],
      ['needs_human', 'credential'],
      ['ok', 'quota'],
    ]);

    const askedBefore = ['demo-1', 'demo-2', 'demo-3'].map((name) => standIn.counts(name));
    pool.server = await startServer({ dataDir: pool.server.dataDir, standInUrl: standIn.url });
    for (let count = 0; count < 12; count++) expectWhole(await chat(), 'ok');
    expect(['demo-1', 'demo-2', 'demo-3'].map((name) => standIn.counts(name))).toEqual(askedBefore);
    const after = await Promise.all([1, 2, 3].map((number) => accountRow(pool, number)));
    expect(after.map((row) => row.rests)).toEqual(before.map((row) => row.rests));
    await new Promise((resolve) => setTimeout(resolve, LOST_MS));
    const [again] = await sql(
      `SELECT sum("used") AS "used" FROM "AccountQuota" WHERE "kind" = 'text'`,
    );
    expect(again?.used).toBe(Number(quota?.used) + 12);
  });
});
