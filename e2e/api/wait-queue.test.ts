import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { eventually, type Pool, startPool } from '../support/pool';

let pool: Pool;
afterEach(() => pool.close());

const chats = () => pool.standIn.counts('demo-1').streamAssist ?? 0;

/** A chat that holds the account until `release`. */
async function hold(id: string): Promise<{ release: () => Promise<void> }> {
  const answer = ask(pool, `lockstep id=${id} n=1`, { stream: false });
  await eventually(() => id in pool.standIn.lockstep);
  return {
    async release() {
      pool.standIn.ackPiece(id);
      expect((await answer).status).toBe(200);
    },
  };
}

describe('when all accounts are busy', () => {
  it('lets requests wait in their order, and serves one at a time', async () => {
    pool = await startPool({ accounts: 1, settings: { maxConcurrentPerAccount: 1 } });
    const held = await hold('first');
    const order: number[] = [];
    const waiting = [1, 2, 3, 4, 5].map(async (number) => {
      // Far enough apart to arrive in this order.
      await new Promise((resolve) => setTimeout(resolve, number * 60));
      expectWhole(await ask(pool, `text value=${number}`, { stream: false }), String(number));
      order.push(number);
    });
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(chats()).toBe(1);
    await held.release();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3, 4, 5]);
    expect(pool.standIn.concurrency('demo-1').peak).toBe(1);
  });

  it('gives up after its patience, with a time to come back', async () => {
    pool = await startPool({
      accounts: 1,
      settings: { maxConcurrentPerAccount: 1, queueWaitMs: 300 },
    });
    const held = await hold('first');
    const refused = await ask(pool, 'text value=late', { stream: false });
    expectRefused(refused, 429, 'rate_limit_exceeded');
    expect(refused.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    await held.release();
    expect(chats()).toBe(1);
  });

  it('refuses at once what the queue has no room for', async () => {
    pool = await startPool({
      accounts: 1,
      settings: { maxConcurrentPerAccount: 1, queueLimit: 2, queueWaitMs: 20_000 },
    });
    const held = await hold('first');
    const waiting = [1, 2].map(() => ask(pool, 'text value=ok', { stream: false }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expectRefused(await ask(pool, 'text value=ok', { stream: false }), 429, 'rate_limit_exceeded');
    await held.release();
    for (const answer of await Promise.all(waiting)) expectWhole(answer, 'ok');
  });

  it('lets a caller that leaves out of the queue', async () => {
    pool = await startPool({
      accounts: 1,
      settings: { maxConcurrentPerAccount: 1, queueLimit: 1, queueWaitMs: 20_000 },
    });
    const held = await hold('first');
    const leaver = new AbortController();
    const left = ask(pool, 'text value=left', { stream: true, signal: leaver.signal });
    left.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    leaver.abort();
    await expect(left).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 200));
    // Its place is free again.
    const next = ask(pool, 'text value=ok', { stream: false });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await held.release();
    expectWhole(await next, 'ok');
    expect(chats()).toBe(2);
  });

  it('waits for a rest that is soon over, and not for one that is not', async () => {
    pool = await startPool({ accounts: 1, settings: { faultRestMs: 1_500 } });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    expectRefused(await ask(pool, 'text value=a', { stream: false }), 502, 'upstream_error');
    expectWhole(await ask(pool, 'text value=b', { stream: false }), 'b');

    const fault = 'http status=429 retry-after=40';
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: fault, times: 1 });
    expectRefused(await ask(pool, 'echo', { stream: false }), 429, 'rate_limit_exceeded');
    const startedAt = Date.now();
    const refused = await ask(pool, 'echo', { stream: false });
    expectRefused(refused, 429, 'rate_limit_exceeded');
    expect(refused.retryAfterSeconds).toBeGreaterThan(35);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(40);
    // It did not wait the 5 s of the queue for nothing.
    expect(Date.now() - startedAt).toBeLessThan(4_000);
  });
});
