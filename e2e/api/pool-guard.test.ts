import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { addImageModel } from '../support/image-model';
import { eventually, type Pool, question, startPool } from '../support/pool';
import { accountRow } from '../support/rows';

const ACCOUNTS = 8;

let pool: Pool;
afterEach(() => pool.close());

const chat = () => ask(pool, 'text value=ok', { stream: false });
const numbers = Array.from({ length: ACCOUNTS }, (_, index) => index + 1);
const asks = () => numbers.map((number) => pool.standIn.counts(`demo-${number}`).streamAssist ?? 0);
const total = () => asks().reduce((sum, count) => sum + count, 0);
const written = () => new Promise((resolve) => setTimeout(resolve, 1_300));

/** How many are kept from serving by a rest that has an end; half-open ones have none. */
async function waitingAccounts(): Promise<number> {
  const rows = await Promise.all(numbers.map((number) => accountRow(pool, number)));
  return rows.filter((row) => (row.rests.text?.untilMs ?? 0) > 0).length;
}

describe('the same failure on several accounts', () => {
  it.each([
    ['a limited exit address', 'http status=429', 429, 'rate_limit_exceeded'],
    ['an upstream that is down', 'http status=503', 502, 'upstream_error'],
    ['an overloaded model', 'http status=429 reason=LLM_OVERLOADED', 429, 'rate_limit_exceeded'],
    ['a refused exit address', 'http status=403', 502, 'upstream_error'],
  ])(
    '%s does not burn the others: single probes, then all goes on',
    async (_, scenario, status, code) => {
      pool = await startPool({ accounts: ACCOUNTS, settings: { queueWaitMs: 1_500 } });
      pool.standIn.setFault('*', { on: 'streamAssist', scenario });
      // One request may be to blame itself: the second opens the guard, and each looks once for an
      // account that is well.
      for (let count = 0; count < 2; count++) expectRefused(await chat(), status, code);
      expect(total()).toBeLessThanOrEqual(2 * ACCOUNTS);
      const answers = await Promise.all(Array.from({ length: 20 }, chat));
      for (const answer of answers) {
        expectRefused(answer, status, code);
        expect(answer.retryAfterSeconds).toBeGreaterThanOrEqual(1);
      }
      expect(total()).toBeLessThanOrEqual(2 * ACCOUNTS + 3);
      await written();
      expect(await waitingAccounts()).toBeLessThanOrEqual(2);

      pool.standIn.setFault('*', null);
      // The longest time between probes is 10 s.
      const giveUpAt = Date.now() + 15_000;
      let answer = await chat();
      while (answer.status !== 200 && Date.now() < giveUpAt) answer = await chat();
      expectWhole(answer, 'ok');
      const before = total();
      for (const each of await Promise.all(Array.from({ length: 10 }, chat)))
        expectWhole(each, 'ok');
      expect(total()).toBe(before + 10);
      expect(pool.server.output()).toContain('pool guard closed');
    },
  );

  it('blames the accounts as long as others serve', async () => {
    pool = await startPool({ accounts: ACCOUNTS });
    for (const number of [1, 3, 5, 7]) {
      pool.standIn.setFault(`demo-${number}`, { on: 'streamAssist', scenario: 'http status=429' });
    }
    for (let count = 0; count < 16; count++) expectWhole(await chat(), 'ok');
    for (const number of [1, 3, 5, 7]) {
      expect(pool.standIn.counts(`demo-${number}`).streamAssist).toBe(1);
    }
    await written();
    expect(await waitingAccounts()).toBe(4);
    expect(pool.server.output()).not.toContain('pool guard');
  });

  it('does not rest accounts for a request that fails on each of them', async () => {
    pool = await startPool({ accounts: ACCOUNTS });
    // Others are served meanwhile.
    let isOver = false;
    const traffic = (async () => {
      while (!isOver) expectWhole(await ask(pool, 'text value=ok ms=2', { stream: false }), 'ok');
    })();
    for (let count = 0; count < 4; count++) {
      expectRefused(await ask(pool, 'http status=500', { stream: false }), 502, 'upstream_error');
    }
    isOver = true;
    await traffic;
    for (const answer of await Promise.all(Array.from({ length: 16 }, chat))) {
      expectWhole(answer, 'ok');
    }
    expect(Math.min(...asks())).toBeGreaterThan(1);
    await written();
    expect(await waitingAccounts()).toBeLessThanOrEqual(3);
  });

  it.each([
    ['one after the other', 0],
    ['a second apart', 1_000],
  ])('finds the one account that is well, though nine fail alike: %s', async (_, pauseMs) => {
    pool = await startPool({ accounts: 10 });
    for (let number = 1; number <= 9; number++) {
      pool.standIn.setFault(`demo-${number}`, { on: 'streamAssist', scenario: 'http status=500' });
    }
    for (let count = 0; count < 12; count++) {
      expectWhole(await chat(), 'ok');
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  });

  it('lets no caller take the pool down with a request that fails everywhere', async () => {
    pool = await startPool({ accounts: ACCOUNTS });
    const failures: number[] = [];
    for (let count = 0; count < 5; count++) {
      const poison = ask(pool, 'http status=500', { stream: false });
      await new Promise((resolve) => setTimeout(resolve, 200));
      const seen = await chat();
      if (seen.status !== 200) failures.push(seen.status);
      await poison;
    }
    expect(failures).toEqual([]);
  });

  it('rests images alone for their own quota, on any number of accounts', async () => {
    pool = await startPool({ accounts: 4 });
    await addImageModel(pool);
    pool.standIn.setQuotas('*', { images: 0 }, { reason: null });
    const drawing = await pool.call('/v1/chat/completions', {
      model: 'painter',
      messages: question('image'),
    });
    expect(drawing.status).toBe(429);
    expectWhole(await chat(), 'ok');
    expect(pool.server.output()).not.toContain('pool guard');
  });

  it('tells of it at /ready', async () => {
    pool = await startPool({ accounts: ACCOUNTS, settings: { queueWaitMs: 100 } });
    expect((await pool.call('/ready')).status).toBe(200);
    pool.standIn.setFault('*', { on: 'streamAssist', scenario: 'http status=503' });
    for (let count = 0; count < 2; count++) await chat();
    const answer = await pool.call('/ready');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: 'not_ready' });
    // Else a balancer would never send the request that closes it.
    await eventually(async () => (await pool.call('/ready')).status === 200, 12_000);
  });
});

describe('/ready', () => {
  it('is 503 without an account that can serve', async () => {
    pool = await startPool({ accounts: 1 });
    expect((await pool.call('/ready')).status).toBe(200);
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'expired-sign-in' });
    await chat();
    expect((await pool.call('/ready')).status).toBe(503);
  });
});
