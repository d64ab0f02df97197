import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectWhole } from '../support/caller';
import { jumpingClock } from '../support/clock';
import { runCommand } from '../support/commands';
import { eventually, type Pool, query, startPool } from '../support/pool';
import { accountRow } from '../support/rows';

let pool: Pool;
afterEach(() => pool.close());

const chat = () => ask(pool, 'text value=ok', { stream: false });
const command = (...args: string[]) => runCommand('account', args, pool.server.dataDir);
/** A running server sees what a command changed within a second. */
const seen = () => new Promise((resolve) => setTimeout(resolve, 1_000));

function shares(accounts: number): number[] {
  return Array.from(
    { length: accounts },
    (_, index) => pool.standIn.counts(`demo-${index + 1}`).streamAssist ?? 0,
  );
}

async function send(requests: number, clients: number): Promise<void> {
  let sent = 0;
  const client = async () => {
    while (sent++ < requests) expect((await chat()).status).toBe(200);
  };
  await Promise.all(Array.from({ length: clients }, client));
}

describe('the choice among accounts', () => {
  it('gives equal accounts equal shares of 10,000 requests', { timeout: 120_000 }, async () => {
    pool = await startPool({ accounts: 10, env: { LOG_LEVEL: 'warn' } });
    await send(10_000, 32);
    const counts = shares(10);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(10_000);
    expect(Math.max(...counts) / Math.min(...counts)).toBeLessThan(1.05);
  });

  it('gives more to an account of more weight', async () => {
    pool = await startPool({ accounts: 2 });
    await command('set', 'account-2', 'weight=3');
    await seen();
    await send(80, 4);
    expect(shares(2)).toEqual([20, 60]);
  });

  it('fills one account before the next', async () => {
    pool = await startPool({
      accounts: 3,
      settings: { selectionStrategy: 'fill_first', maxConcurrentPerAccount: 2 },
    });
    await send(10, 1);
    expect(shares(3)).toEqual([10, 0, 0]);
    const held = ['a', 'b', 'c'].map((id) => ask(pool, `lockstep id=${id} n=1`, { stream: false }));
    await eventually(() => Object.keys(pool.standIn.lockstep).length === 3);
    expect(shares(3)).toEqual([12, 1, 0]);
    for (const id of ['a', 'b', 'c']) pool.standIn.ackPiece(id);
    await Promise.all(held);
  });

  it('takes the least busy account', async () => {
    pool = await startPool({ accounts: 2, settings: { selectionStrategy: 'least_in_flight' } });
    const held = ask(pool, 'lockstep id=a n=1', { stream: false });
    await eventually(() => 'a' in pool.standIn.lockstep);
    await send(5, 1);
    expect(shares(2).sort()).toEqual([1, 5]);
    pool.standIn.ackPiece('a');
    expect((await held).status).toBe(200);
  });

  it('draws by weight', async () => {
    pool = await startPool({ accounts: 2, settings: { selectionStrategy: 'weighted_random' } });
    await command('set', 'account-2', 'weight=9');
    await seen();
    await send(200, 8);
    const [light = 0, heavy = 0] = shares(2);
    expect(heavy).toBeGreaterThan(3 * light);
    expect(light).toBeGreaterThan(0);
  });

  it('never has more requests on an account than it may have', async () => {
    pool = await startPool({ accounts: 2, settings: { maxConcurrentPerAccount: 3 } });
    await command('set', 'account-2', 'max-concurrent=1');
    await seen();
    const answers = Array.from({ length: 40 }, () =>
      ask(pool, 'count n=5 ms=10', { stream: true }),
    );
    for (const { status } of await Promise.all(answers)) expect(status).toBe(200);
    expect(pool.standIn.concurrency('demo-1').peak).toBe(3);
    expect(pool.standIn.concurrency('demo-2').peak).toBe(1);
  });

  it('stays away from an account that lets callers wait for the first word', async () => {
    pool = await startPool({ accounts: 2, settings: { firstContentTimeoutMs: 30_000 } });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'hang' });
    const leaver = new AbortController();
    const stuck = [0, 1].map(() =>
      ask(pool, 'echo', { stream: true, signal: leaver.signal }).catch(() => null),
    );
    await eventually(() => shares(2)[0] === 1);
    // From 5 s on it counts as slow.
    await new Promise((resolve) => setTimeout(resolve, 5_200));
    await send(10, 2);
    expect(shares(2)[0]).toBe(1);
    leaver.abort();
    await Promise.all(stuck);
  });
});

describe('an account that changes while it is used', () => {
  it.each(['delete', 'disable'])(
    '%s: ends what it is doing, and gets nothing more',
    async (verb) => {
      pool = await startPool({ accounts: 2 });
      const held = [0, 1].map((index) => ask(pool, `lockstep id=${index} n=2`, { stream: true }));
      await eventually(() => Object.keys(pool.standIn.lockstep).length === 2);
      await command(verb, 'account-1');
      await seen();
      await send(6, 2);
      expect(shares(2)).toEqual([1, 7]);
      for (const id of ['0', '1']) {
        pool.standIn.ackPiece(id);
        await eventually(() => pool.standIn.lockstep[id] === 2);
        pool.standIn.ackPiece(id);
      }
      for (const answer of await Promise.all(held))
        expect(answer).toMatchObject({ isDone: true, errors: [], text: 'piece 1 piece 2' });
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      const rows = await query(pool.server.dataDir, {
        sql: 'SELECT "label", "enabled" FROM "Account" ORDER BY "label"',
        args: [],
      });
      expect(rows.filter((row) => row.enabled === 1).map((row) => row.label)).toEqual([
        'account-2',
      ]);
    },
  );

  it('fails on it before the first word: the next one answers', async () => {
    pool = await startPool({ accounts: 2, settings: { firstContentTimeoutMs: 2_000 } });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'hang' });
    const answers = [chat(), chat()];
    await eventually(() => shares(2)[0] === 1);
    await command('delete', 'account-1');
    for (const answer of await Promise.all(answers)) expectWhole(answer, 'ok');
    expectWhole(await chat(), 'ok');
    expect(shares(2)[0]).toBe(1);
  });
});

describe('a token to renew', () => {
  it('is fetched once for 1,000 callers at once', async () => {
    const clock = jumpingClock();
    pool = await startPool({ accounts: 1, env: { ...clock.env, LOG_LEVEL: 'warn' } });
    expectWhole(await chat(), 'ok');
    expect(pool.standIn.counts('demo-1').key).toBe(1);
    // The token is over, at the upstream as well.
    await clock.jump(400_000);
    pool.standIn.clock.offsetMs = 400_000;
    const answers = await Promise.all(Array.from({ length: 1_000 }, chat));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1_000);
    expect(pool.standIn.counts('demo-1').key).toBe(2);
    expect((await accountRow(pool, 1)).condition).toBe('ok');
  });
});
