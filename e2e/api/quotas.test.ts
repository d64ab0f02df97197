import { afterEach, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { jumpingClock } from '../support/clock';
import { runCommand } from '../support/commands';
import { addImageModel } from '../support/image-model';
import { eventually, type Pool, query, question, startPool } from '../support/pool';
import { accountRow } from '../support/rows';
import { startServer } from '../support/server';

const CHAT = '/v1/chat/completions';
const HOUR = 3_600_000;

let pool: Pool;
afterEach(() => pool.close());

const draw = () =>
  pool.call(CHAT, { model: 'painter', messages: question('image text="Here it is."') });
const chat = () => ask(pool, 'text value=ok', { stream: false });

async function used(number: number): Promise<Record<string, number>> {
  const rows = await query(pool.server.dataDir, {
    sql: `SELECT "kind", "used" FROM "AccountQuota" WHERE "accountId" = ?`,
    args: [String((await accountRow(pool, number)).id)],
  });
  return Object.fromEntries(rows.map(({ kind, used }) => [kind, used]));
}

const list = () => runCommand('account', ['list'], pool.server.dataDir);

describe('the quota ledger', () => {
  it('counts what the upstream did, also an image that a plain chat drew, over a restart', async () => {
    pool = await startPool({ accounts: 1 });
    expectWhole(await chat(), 'ok');
    const drawn = await ask(pool, 'image n=2 text=Look', { stream: true });
    expect(drawn.text).toContain('/image/');
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    expectRefused(await chat(), 502, 'upstream_error');
    await eventually(async () => (await used(1)).text === 2);
    expect(await used(1)).toEqual({ text: 2, images: 2 });

    await pool.server.stop();
    pool.server = await startServer({ dataDir: pool.server.dataDir, standInUrl: pool.standIn.url });
    expectWhole(await chat(), 'ok');
    await eventually(async () => (await used(1)).text === 3);
    expect(await list()).toMatch(/3 questions, 2 images/);
  });

  it("does not ask beyond the operator's limit, and says when it is over", async () => {
    pool = await startPool({ accounts: 2, settings: { textDailyLimit: 2 } });
    await runCommand('account', ['set', 'account-2', 'text-limit=1'], pool.server.dataDir);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (let count = 0; count < 3; count++) expectWhole(await chat(), 'ok');
    const refused = await chat();
    expectRefused(refused, 429, 'rate_limit_exceeded');
    // To midnight in Los Angeles: less than a day, more than the queue's patience.
    expect(refused.retryAfterSeconds).toBeGreaterThan(5);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(25 * 3_600);
    expect(pool.standIn.counts('demo-1').streamAssist).toBe(2);
    expect(pool.standIn.counts('demo-2').streamAssist).toBe(1);
    await eventually(async () => (await used(1)).text === 2);
    const table = await list();
    expect(table).toMatch(/account-1 .* resting/);
    expect(table).toContain('2 of 2 questions');
    expect(table).toContain('About 0 questions left today.');
    // More is allowed: at once.
    await runCommand('account', ['set', 'account-2', 'text-limit=none'], pool.server.dataDir);
    await eventually(async () => (await chat()).status === 200);
  });

  it('rests images alone when they are used up, and text goes on', async () => {
    pool = await startPool({ accounts: 2 });
    await addImageModel(pool);
    pool.standIn.setQuotas('demo-1', { images: 1 });
    pool.standIn.setQuotas('demo-2', { images: 2 }, { reason: null });
    for (let count = 0; count < 3; count++) expect((await draw()).status).toBe(200);
    const refused = await draw();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(5);
    const asked = () =>
      [1, 2].map((number) => pool.standIn.counts(`demo-${number}`).streamAssist ?? 0);
    const before = asked();
    expect((await draw()).status).toBe(429);
    expect(asked()).toEqual(before);

    for (let count = 0; count < 2; count++) expectWhole(await chat(), 'ok');
    await eventually(async () => (await used(2)).images === 2);
    await eventually(async () => Object.keys((await accountRow(pool, 2)).rests).length > 0);
    const row = await accountRow(pool, 2);
    expect(row.condition).toBe('ok');
    expect(row.rests).toEqual({
      images: expect.objectContaining({ daily: true, fault: 'quota' }),
    });
    expect(await list()).toContain('About 0 images left today.');
    expect((await pool.call('/ready')).status).toBe(200);
  });

  it('takes an account with more left before one that is nearly used up', async () => {
    pool = await startPool({ accounts: 2, settings: { textDailyLimit: 1_000 } });
    await runCommand('account', ['set', 'account-2', 'text-limit=12'], pool.server.dataDir);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (let count = 0; count < 30; count++) expectWhole(await chat(), 'ok');
    const [rich = 0, poor = 0] = [1, 2].map((number) => pool.standIn.usage(`demo-${number}`).text);
    expect(rich).toBeGreaterThan(poor + 5);
    expect(poor).toBeLessThan(12);
  });

  it('starts anew at midnight in Los Angeles', async () => {
    const clock = jumpingClock();
    pool = await startPool({ accounts: 1, settings: { textDailyLimit: 1 }, env: clock.env });
    expectWhole(await chat(), 'ok');
    const refused = await chat();
    expectRefused(refused, 429, 'rate_limit_exceeded');
    const jumpMs = (refused.retryAfterSeconds ?? 0) * 1_000;
    expect(jumpMs).toBeLessThanOrEqual(25 * HOUR);
    await clock.jump(jumpMs);
    pool.standIn.clock.offsetMs = jumpMs;
    expectWhole(await chat(), 'ok');
    expectRefused(await chat(), 429, 'rate_limit_exceeded');
  });
});
