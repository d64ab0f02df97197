import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { type JumpingClock, jumpingClock } from '../support/clock';
import { type Pool, startPool } from '../support/pool';

const HOUR = 3_600_000;

let pool: Pool;
let clock: JumpingClock;
afterEach(() => pool.close());

async function start(accounts: number, settings: Record<string, unknown> = {}): Promise<void> {
  clock = jumpingClock();
  pool = await startPool({ accounts, settings, env: clock.env });
}

const chat = () => ask(pool, 'text value=ok', { stream: false });
const asked = () => pool.standIn.counts('demo-1').streamAssist ?? 0;

describe('a clock that is set while the server runs', () => {
  it.each([
    ['forward', HOUR],
    ['back', -HOUR],
  ])('%s: serves on, with tokens that the upstream takes', async (_, jumpMs) => {
    await start(2);
    expectWhole(await chat(), 'ok');
    await clock.jump(jumpMs);
    for (let count = 0; count < 6; count++) expectWhole(await chat(), 'ok');
    // Back again: a correction after a wrong one.
    await clock.jump(-jumpMs);
    for (let count = 0; count < 6; count++) expectWhole(await chat(), 'ok');
  });

  it('forward: does not end a rest before its time', async () => {
    await start(1);
    const fault = 'http status=429 retry-after=60';
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: fault, times: 1 });
    expectRefused(await chat(), 429, 'rate_limit_exceeded');
    await clock.jump(HOUR);
    const refused = await chat();
    expectRefused(refused, 429, 'rate_limit_exceeded');
    expect(refused.retryAfterSeconds).toBeGreaterThan(40);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(60);
    expect(asked()).toBe(1);
  });

  it('back: does not make an hour of a rest of two seconds', async () => {
    await start(1, { faultRestMs: 2_000 });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    expectRefused(await chat(), 502, 'upstream_error');
    await clock.jump(-HOUR);
    expectWhole(await chat(), 'ok');
  });

  it('back, while a request waits for the end of a rest: it is served', async () => {
    await start(1, { faultRestMs: 3_000 });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    expectRefused(await chat(), 502, 'upstream_error');
    const waiting = chat();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await clock.jump(-HOUR);
    expectWhole(await waiting, 'ok');
  });
});
