import { afterEach, describe, expect, it } from 'vitest';
import { demoAccounts, seedFile } from '../stand-in/accounts';
import { jumpingClock } from '../support/clock';
import { importAccounts } from '../support/commands';
import { asking, say } from '../support/conversations';
import { eventually, type Pool, startPool } from '../support/pool';
import { accountRow } from '../support/rows';

let pool: Pool;
afterEach(() => pool.close());

const chat = (words = 'hello') => say(pool, [asking(words, 'ok')]);
const created = () => pool.standIn.counts('demo-1').createSession ?? 0;
const sessions = () => pool.standIn.sessions.all.length;

/** A second in which nothing is made that was not made at once. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 1_000));

describe('the stock of sessions', () => {
  it('lets a new conversation wait for one upstream call', async () => {
    pool = await startPool({ accounts: 1 });
    expect((await chat()).status).toBe(200);
    await eventually(() => created() === 2);
    const stocked = pool.standIn.sessions.all.at(-1);
    pool.standIn.setFault('demo-1', { on: 'createSession', scenario: 'hang' });
    const { status, session } = await chat();
    expect(status).toBe(200);
    expect(session).toBe(stocked);
  });

  it('is filled again behind a caller, one session at a time', async () => {
    pool = await startPool({ accounts: 1, settings: { sessionStockPerAccount: 2 } });
    await chat();
    await eventually(() => created() === 3);
    await Promise.all([chat(), chat(), chat()]);
    // Two were there, one was made for a caller, and two for the next ones.
    await eventually(() => created() === 6);
    await quiet();
    expect(created()).toBe(6);
  });

  it('may be none', async () => {
    pool = await startPool({ accounts: 1, settings: { sessionStockPerAccount: 0 } });
    await chat();
    await quiet();
    expect(created()).toBe(1);
  });

  it('is of use also when its sessions are gone', async () => {
    pool = await startPool({ accounts: 1 });
    await chat();
    await eventually(() => created() === 2);
    pool.standIn.sessions.clear();
    expect((await chat()).status).toBe(200);
    await eventually(() => created() === 4);
    expect(await accountRow(pool, 1)).toMatchObject({ fault: null });
  });

  it('is no account’s fault when it can’t be filled', async () => {
    pool = await startPool({ accounts: 1 });
    const failing = { on: 'createSession', scenario: 'silence ms=300' } as const;
    pool.standIn.setFault('demo-1', { ...failing, times: 1 });
    const first = chat();
    await eventually(() => created() === 1);
    pool.standIn.setFault('demo-1', { on: 'createSession', scenario: 'http status=401' });
    expect((await first).status).toBe(200);
    await eventually(() => created() >= 2);
    // The rows of what is wrong follow within a second; it is not tried again and again.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(created()).toBeLessThanOrEqual(3);
    expect(await accountRow(pool, 1)).toMatchObject({ condition: 'ok', fault: null });
  });

  it('is thrown away when it is stale, and made anew', async () => {
    const clock = jumpingClock();
    const settings = { sessionStockMaxAgeMs: 60_000 };
    pool = await startPool({ accounts: 1, settings, env: clock.env });
    await chat();
    await eventually(() => created() === 2);
    const old = pool.standIn.sessions.all.at(-1);
    await clock.jump(61_000);
    pool.standIn.clock.offsetMs = 61_000;
    await eventually(() => !pool.standIn.sessions.all.includes(old as never), 15_000);
    // The conversation's own, and the new one.
    await eventually(() => created() === 3 && sessions() === 2, 15_000);
  });

  it('is forgotten with the cookies that it was made with', async () => {
    pool = await startPool({ accounts: 1 });
    await chat();
    await eventually(() => created() === 2);
    const old = pool.standIn.sessions.all.at(-1);
    await importAccounts(pool.server.dataDir, seedFile(demoAccounts(1)));
    await eventually(() => !pool.standIn.sessions.all.includes(old as never), 15_000);
    // The conversation's own, and a new one.
    await eventually(() => sessions() === 2, 15_000);
    expect((await chat()).status).toBe(200);
  });
});

describe('the access token', () => {
  it('of an account in use is renewed before it is over, without a caller', async () => {
    const clock = jumpingClock();
    pool = await startPool({ accounts: 1, env: clock.env });
    await chat();
    expect(pool.standIn.counts('demo-1').key).toBe(1);
    // First the upstream's clock, by which a token is made.
    pool.standIn.clock.offsetMs = 250_000;
    await clock.jump(250_000);
    await eventually(() => pool.standIn.counts('demo-1').key === 2, 15_000);
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'hang' });
    pool.standIn.clock.offsetMs = 450_000;
    await clock.jump(200_000);
    expect((await chat()).status).toBe(200);
  });

  it('of an account that rests is not', async () => {
    const clock = jumpingClock();
    const settings = { faultRestMs: 600_000, faultRestMaxMs: 600_000 };
    pool = await startPool({ accounts: 1, settings, env: clock.env });
    await chat();
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=503' });
    expect((await chat()).status).toBe(502);
    await clock.jump(250_000);
    pool.standIn.clock.offsetMs = 250_000;
    // It is looked at every 5 s.
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    expect(pool.standIn.counts('demo-1').key).toBe(1);
  });
});
