import { once } from 'node:events';
import http from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { jumpingClock } from '../support/clock';
import {
  askInVain,
  chatsOf,
  crashSettings,
  expectNobodyIll,
  expectOthersAnswer,
  heal,
  names,
  ways,
} from '../support/crash';
import { holdDatabase } from '../support/data-folder';
import { eventually, type Pool, query, question, startPool } from '../support/pool';
import { accountRow, requestRow } from '../support/rows';
import { startServer } from '../support/server';

/**
 * Twelve faults that gateways to this upstream meet, beside those of the public crash test: each ends
 * in a full answer or in a clear error.
 */

const MINUTE_MS = 60_000;

let pool: Pool;

describe('with three accounts', () => {
  beforeAll(async () => {
    pool = await startPool({ settings: crashSettings });
  });
  afterAll(() => pool.close());
  beforeEach(() => heal(pool));

  it.each(ways)('1: cookies that expire within a request, %s', async (_, stream) => {
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'expired-sign-in' });
    const seen = await expectOthersAnswer(pool, 'http status=401', stream);
    const rows = await Promise.all(seen.map(({ requestId }) => requestRow(pool, requestId)));
    const moved = rows.find((row) => row.tries === 2);
    expect(moved).toMatchObject({ status: 200, fault: 'credential' });
    expect(moved?.label).not.toBe('account-1');
    await eventually(async () => (await accountRow(pool, 1)).condition === 'needs_human');
    expect(await accountRow(pool, 1)).toMatchObject({ fault: 'credential' });
    expect(await accountRow(pool, 2)).toMatchObject({ condition: 'ok' });
  });

  it.each(ways)('2: a session that is said to be of another account, %s', async (_, stream) => {
    const scenario = 'http status=403 message="Session is not owned by the provided user"';
    pool.standIn.setFault('*', { on: 'streamAssist', scenario, times: 1 });
    expectWhole(await ask(pool, 'text value=mine', { stream }), 'mine');
    // The same account, in a new session.
    const [first, second, ...more] = chatsOf(pool);
    expect([first?.account, more]).toEqual([second?.account, []]);
    expect(pool.standIn.counts(first?.account ?? '').createSession).toBe(2);
    await heal(pool);
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario });
    for (let count = 0; count < 4; count++) {
      expectWhole(await ask(pool, 'text value=other', { stream }), 'other');
    }
  });

  it.each(ways)('4: a question that is skipped by policy, %s', async (_, stream) => {
    const seen = await ask(pool, 'skipped-policy', { stream });
    expectRefused(seen, 400, 'content_policy_violation');
    expect(chatsOf(pool)).toHaveLength(1);
    await expectNobodyIll(pool);
  });

  it.each(ways)('5: thoughts without an answer, %s', async (_, stream) => {
    await expectOthersAnswer(pool, 'thoughts-only', stream, 0);
    expectRefused(await askInVain(pool, 'thoughts-only', stream), 502, 'upstream_error');
  });

  it.each(ways)('7: an answer that is split inside its characters, %s', async (_, stream) => {
    const text = 'Zürich 你好，世界 😀 👩‍👩‍👧 — "ça" ‹\\›';
    const order = `text base64=${Buffer.from(text).toString('base64')} size=1`;
    expectWhole(await ask(pool, order, { stream }), text);
  });

  it('8: a client that leaves at the first byte', async () => {
    const requestId = await leaveAtFirstByte('count n=1000 ms=20');
    await eventually(() => pool.standIn.openStreams === 0, 1_000);
    expect(chatsOf(pool)).toMatchObject([{ aborted: true }]);
    expect(await requestRow(pool, requestId)).toMatchObject({ status: 499, code: 'client_left' });
    await expectNobodyIll(pool);
  });

  it('9: a database that another process holds for ten seconds', async () => {
    const release = holdDatabase(pool.server.dataDir);
    const heldUntil = Date.now() + 10_000;
    const requestIds: string[] = [];
    try {
      while (Date.now() < heldUntil || requestIds.length < 10) {
        const askedAt = Date.now();
        const seen = await ask(pool, 'text value=unlocked', {
          stream: requestIds.length % 2 === 0,
        });
        expectWhole(seen, 'unlocked');
        expect(Date.now() - askedAt).toBeLessThan(5_000);
        requestIds.push(seen.requestId);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    } finally {
      release();
    }
    for (const requestId of requestIds) {
      expect(await requestRow(pool, requestId)).toMatchObject({ status: 200 });
    }
  });

  it('3: a wrong configId', async () => {
    await query(
      pool.server.dataDir,
      { sql: `UPDATE "Account" SET "configId" = 'wrong' WHERE "label" = 'account-1'`, args: [] },
      {
        sql: `UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'accounts'`,
        args: [],
      },
    );
    const refused = () => pool.standIn.log.some(({ refusal }) => refusal === 'configId is foreign');
    await eventually(async () => {
      expectWhole(await ask(pool, 'text value=ok', { stream: true }), 'ok');
      expectWhole(await ask(pool, 'text value=ok', { stream: false }), 'ok');
      return refused();
    });
    await eventually(async () => (await accountRow(pool, 1)).condition === 'needs_human');
    expect(await accountRow(pool, 1)).toMatchObject({ fault: 'config' });
  });
});

/** Asks for a stream and hangs up as soon as a byte of it is there. Returns the request's id. */
async function leaveAtFirstByte(order: string): Promise<string> {
  const request = http.request(`${pool.server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${pool.key}` },
  });
  request.end(
    JSON.stringify({ model: 'gemini-enterprise', messages: question(order), stream: true }),
  );
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  await once(response, 'data');
  request.destroy();
  return String(response.headers['x-request-id']);
}

describe('with a server of its own', () => {
  afterEach(() => pool.close());

  it('6: the key host asks for a rotation while requests run', async () => {
    // Of two refusals, none must meet a token that was made after the first.
    pool = await startPool({ settings: { sessionStockPerAccount: 0 } });
    const early = names.map(() => ask(pool, 'count n=20 ms=100', { stream: true }));
    await eventually(() => chatsOf(pool).length === early.length);
    pool.standIn.setFault('*', { on: 'key', scenario: 'rotation secure=1' });
    pool.standIn.setFault('*', { on: 'streamAssist', scenario: 'http status=401', times: 1 });
    pool.standIn.latencyMs = 50;
    const asking = Array.from({ length: 12 }, (_, index) =>
      ask(pool, 'text value=rotated', { stream: index % 2 === 0 }),
    );
    for (const seen of await Promise.all(asking)) expectWhole(seen, 'rotated');
    for (const seen of await Promise.all(early)) expect(seen.finishReasons).toEqual(['stop']);
    for (const name of names) {
      expect(pool.standIn.counts(name)).toMatchObject({ refreshcookies: 1, setocookie: 1 });
    }
    for (const number of [1, 2, 3]) {
      await eventually(async () => (await accountRow(pool, number)).credentialVersion === 2);
      expect(await accountRow(pool, number)).toMatchObject({ condition: 'ok' });
    }
  });

  it('10: a clock that is set by two minutes, forward and back', async () => {
    const clock = jumpingClock();
    pool = await startPool({ env: clock.env, settings: crashSettings });
    // The first jump finds a token of one account, and none of the others.
    expectWhole(await ask(pool, 'text value=before', { stream: false }), 'before');
    for (const jumpMs of [2, -4, 6].map((minutes) => minutes * MINUTE_MS)) {
      pool.standIn.setFault('demo-1', {
        on: 'streamAssist',
        scenario: 'http status=500',
        times: 1,
      });
      for (let count = 0; count < 5; count++) {
        if (count === 3) await clock.jump(jumpMs);
        const seen = await ask(pool, 'text value=now', { stream: count % 2 === 0 });
        expectWhole(seen, 'now');
      }
      // No rest becomes longer with the clock.
      const asked = chatsOf(pool, 'demo-1').length;
      await eventually(async () => {
        expectWhole(await ask(pool, 'text value=now', { stream: true }), 'now');
        return chatsOf(pool, 'demo-1').length > asked;
      });
    }
    for (const number of [1, 2, 3]) {
      expect(await accountRow(pool, number)).toMatchObject({ condition: 'ok' });
    }
  });

  it('11: a proxy that is dead', async () => {
    const env = { PROXY_URL: 'http://127.0.0.1:9' };
    pool = await startPool({ env, settings: crashSettings });
    const seen = await ask(pool, 'echo', { stream: false });
    expectRefused(seen, 502, 'upstream_error');
    expect(await requestRow(pool, seen.requestId)).toMatchObject({ fault: 'egress' });
    // By now the accounts may rest.
    const later = await ask(pool, 'echo', { stream: true });
    expect(later).toMatchObject({
      text: '',
      errors: [{ code: expect.any(String) }],
      isDone: false,
    });
    expect(pool.standIn.log).toEqual([]);
    for (const number of [1, 2, 3]) {
      expect(await accountRow(pool, number)).toMatchObject({ condition: 'ok' });
    }
  });

  it('12: a kill -9 in the middle', async () => {
    pool = await startPool({ settings: crashSettings });
    const whole = ask(pool, 'count n=1000 ms=20', { stream: false }).catch(() => null);
    const streamed = ask(pool, 'count n=1000 ms=20', { stream: true });
    await eventually(() => chatsOf(pool).length === 2);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await pool.server.kill();
    expect(await whole).toBeNull();
    expect(await streamed).toMatchObject({ isBroken: true, isDone: false, finishReasons: [] });
    await eventually(() => pool.standIn.openStreams === 0);
    const { dataDir } = pool.server;
    pool.server = await startServer({ dataDir, standInUrl: pool.standIn.url });
    await heal(pool);
    for (const [, stream] of ways) {
      expectWhole(await ask(pool, 'text value=alive', { stream }), 'alive');
    }
  });
});
