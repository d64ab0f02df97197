import { afterEach, describe, expect, it } from 'vitest';
import { demoAccount, seedFile } from '../stand-in/accounts';
import { importAccounts, runCommand } from '../support/commands';
import { eventually, type Pool, query, question, startPool } from '../support/pool';
import { accountRow } from '../support/rows';
import { startServer } from '../support/server';

const body = (directive: string, more: object = {}) => ({
  model: 'gemini-enterprise',
  messages: question(directive),
  ...more,
});
const CHAT = '/v1/chat/completions';

let pool: Pool;
afterEach(() => pool.close());

const asked = (name: string) => {
  const { streamAssist = 0, createSession = 0, key = 0 } = pool.standIn.counts(name);
  return { streamAssist, createSession, key };
};

/** The row of an account once it says that something is wrong; it follows within a second. */
async function illRow(number: number) {
  let row: Record<string, unknown> | undefined;
  await eventually(async () => {
    row = await accountRow(pool, number);
    return row.fault !== null;
  });
  return row;
}

/** So long that everything is in its row. */
const written = () => new Promise((resolve) => setTimeout(resolve, 1_500));

const LATE_MS = 100;

describe('the pool with one account', () => {
  it('serves with it, and fetches one key for many callers', async () => {
    pool = await startPool({ accounts: 1, settings: { sessionStockPerAccount: 0 } });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => pool.call(CHAT, body('text value=ok'))),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(200));
    expect(asked('demo-1')).toEqual({ key: 1, createSession: 20, streamAssist: 20 });
  });

  it('makes a new session when the old one is gone, once', async () => {
    pool = await startPool({ accounts: 1, settings: { sessionStockPerAccount: 0 } });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=404', times: 1 });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    expect(asked('demo-1')).toMatchObject({ createSession: 2, streamAssist: 2 });
  });

  it('fetches a new key when the token is refused, and answers', async () => {
    pool = await startPool({ accounts: 1 });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=401', times: 1 });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    expect(asked('demo-1').key).toBe(2);
  });

  it('follows the rotation of cookies, saves them, and goes on after a restart', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'rotation secure=1' });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    expect(pool.standIn.counts('demo-1')).toMatchObject({ refreshcookies: 1, setocookie: 1 });
    await pool.server.kill();
    pool.server = await startServer({ dataDir: pool.server.dataDir, standInUrl: pool.standIn.url });
    const response = await fetch(`${pool.server.url}${CHAT}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${pool.key}` },
      body: JSON.stringify(body('text value=again')),
    });
    expect((await response.json()).choices[0].message.content).toBe('again');
  });

  it('works although the clock of this machine is two minutes off', async () => {
    pool = await startPool({ accounts: 1 });
    for (const offsetMs of [120_000, -120_000]) {
      pool.standIn.clock.offsetMs = offsetMs;
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    }
  });

  it('does not hammer a refused credential, and says so in its row', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'expired-sign-in' });
    const first = await pool.call(CHAT, body('echo'));
    expect(first.status).toBe(503);
    expect((await first.json()).error.code).toBe('upstream_error');
    const second = await pool.call(CHAT, body('echo'));
    expect(second.status).toBe(503);
    expect((await second.json()).error.code).toBe('no_account_available');
    expect(asked('demo-1').key).toBe(1);
    expect(await illRow(1)).toMatchObject({ condition: 'needs_human', fault: 'credential' });
  });

  it('takes a 401 on session creation with a fresh key for a wrong configId', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'createSession', scenario: 'http status=401' });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(503);
    expect(await illRow(1)).toMatchObject({ condition: 'needs_human', fault: 'config' });
  });
});

describe('the pool with three accounts', () => {
  it('goes round', async () => {
    pool = await startPool();
    for (let count = 0; count < 9; count++) await pool.call(CHAT, body('echo'));
    for (const name of ['demo-1', 'demo-2', 'demo-3']) expect(asked(name).streamAssist).toBe(3);
  });

  const faults: [string, 'key' | 'createSession' | 'streamAssist', string, string | null][] = [
    ['a signed-out account', 'key', 'expired-sign-in', 'credential'],
    ['a redirect to sign-in', 'key', 'sign-in-redirect', 'credential'],
    ['a page instead of a key', 'key', 'html', 'credential'],
    ['a limited key host', 'key', 'http status=429', 'overload'],
    ['a rotation without end', 'key', 'rotation-loop', 'credential'],
    ['a key host that hangs up', 'key', 'reset-before', null],
    ['a wrong configId', 'createSession', 'http status=401', 'config'],
    ['overload', 'streamAssist', 'http status=429 reason=LLM_OVERLOADED', 'overload'],
    ['a spent quota', 'streamAssist', 'http status=429 reason=QUOTA_EXCEEDED', 'quota'],
    ['a blocked account', 'streamAssist', 'http status=403 message="Access Restricted"', 'blocked'],
    ['a 500', 'streamAssist', 'http status=500', 'upstream'],
    ['a 503', 'createSession', 'http status=503', 'upstream'],
    ['an error as first element', 'streamAssist', 'error-first status=500', 'upstream'],
    ['an error in an array', 'streamAssist', 'array-error status=503', 'upstream'],
    ['a page instead of an answer', 'streamAssist', 'html', 'upstream'],
    ['an answer that never begins', 'streamAssist', 'hang', 'upstream'],
    ['an answer that breaks off at once', 'streamAssist', 'truncated after=0', 'truncated'],
    ['an answer that is no JSON', 'streamAssist', 'malformed after=0', 'upstream'],
    ['a reset connection', 'streamAssist', 'reset-before', 'upstream'],
    ['a turn that failed', 'streamAssist', 'failed', 'upstream'],
    ['only a token', 'streamAssist', 'utoken-only', 'credential'],
  ];

  it.each(faults)('leaves %s for another, streamed or not', async (_, on, scenario, fault) => {
    pool = await startPool({ settings: { firstContentTimeoutMs: 500, keyTimeoutMs: 500 } });
    pool.standIn.setFault('demo-1', { on, scenario });
    const answers = [];
    for (const stream of [false, true, false, true, false, true]) {
      const response = await pool.call(CHAT, body('text value=whole', { stream }));
      answers.push([response.status, (await response.text()).includes('"whole"')]);
    }
    expect(answers).toEqual(Array(6).fill([200, true]));
    expect(asked('demo-1')[on]).toBeLessThanOrEqual(2);
    const row = await illRow(1);
    if (fault) expect(row?.fault).toBe(fault);
  });

  it('leaves an account for an empty answer, without a rest', async () => {
    pool = await startPool();
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'empty' });
    for (let count = 0; count < 6; count++) {
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    }
    expect(asked('demo-1').streamAssist).toBeGreaterThanOrEqual(2);
    await written();
    expect(await accountRow(pool, 1)).toMatchObject({ condition: 'ok', rests: {} });
  });

  it('never has one request on two accounts at once', async () => {
    pool = await startPool({ settings: { faultRestMs: 0 } });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'truncated after=0' });
    pool.standIn.setFault('demo-2', { on: 'streamAssist', scenario: 'http status=500' });
    // Answers of 200 ms, so that two at once are told from an end that is noticed a little late.
    const slow = body('count n=10 ms=20', { n: 3 });
    for (let count = 0; count < 3; count++) await pool.call(CHAT, slow);
    const calls = pool.standIn.log.filter((entry) => entry.call === 'streamAssist');
    for (const one of calls) {
      const others = calls.filter((other) => other.account !== one.account);
      const overlaps = others.filter(
        (other) =>
          other.at < (one.endedAt ?? Infinity) - LATE_MS &&
          one.at < (other.endedAt ?? Infinity) - LATE_MS,
      );
      expect(overlaps).toEqual([]);
    }
  });

  it('rests nobody for what the request itself is to blame for', async () => {
    pool = await startPool();
    pool.standIn.promptLimitCharacters = 10;
    expect((await pool.call(CHAT, body('echo'))).status).toBe(400);
    expect((await pool.call(CHAT, body('skipped-policy'))).status).toBe(400);
    await written();
    for (const number of [1, 2, 3])
      expect(await accountRow(pool, number)).toMatchObject({ fault: null });
  });

  it('asks the accounts of a model only, and never one that is disabled', async () => {
    pool = await startPool();
    await runCommand('account', ['disable', 'account-2'], pool.server.dataDir);
    await written();
    for (let count = 0; count < 4; count++) await pool.call(CHAT, body('echo'));
    expect(asked('demo-2').streamAssist).toBe(0);
    expect(asked('demo-1').streamAssist + asked('demo-3').streamAssist).toBe(4);
  });

  it('tries a model on the next account when a workspace lacks it, and names it when all do', async () => {
    pool = await startPool();
    pool.standIn.setFault('demo-1', {
      on: 'streamAssist',
      scenario: 'http status=400 message="Unknown model"',
    });
    for (let count = 0; count < 3; count++) {
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    }
  });

  it('leaves an account for another when one of several choices fails at once', async () => {
    pool = await startPool();
    pool.standIn.setFault('*', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    const startedAt = Date.now();
    const response = await pool.call(CHAT, body('silence ms=20000', { n: 2 }));
    expect(response.status).toBe(502);
    expect(Date.now() - startedAt).toBeLessThan(15_000);
    await eventually(() => pool.standIn.openStreams === 0);
  });

  it('serves with the others when the stored cookies of one cannot be read', async () => {
    pool = await startPool();
    await query(
      pool.server.dataDir,
      {
        sql: `UPDATE "Account" SET "secureCSes" = 'v1.spoilt' WHERE "label" = 'account-1'`,
        args: [],
      },
      {
        sql: `UPDATE "ChangeStamp" SET "version" = "version" + 1 WHERE "name" = 'accounts'`,
        args: [],
      },
    );
    for (let count = 0; count < 6; count++) {
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    }
  });
});

describe('health', () => {
  it('takes failures of requests that ran side by side as one', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=429' });
    pool.standIn.latencyMs = 300;
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => pool.call(CHAT, body('echo'))),
    );
    for (const answer of answers) {
      expect(answer.status).toBe(429);
      expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    }
    expect(await illRow(1)).toMatchObject({ rests: { text: { failures: 1 } } });
  });

  it('is not mended by an answer that began before the failure', async () => {
    pool = await startPool({ accounts: 1 });
    const early = pool.call(CHAT, body('silence ms=1500'));
    await eventually(() => pool.standIn.openStreams === 1);
    pool.standIn.setFault('demo-1', {
      on: 'streamAssist',
      scenario: 'http status=429 reason=QUOTA_EXCEEDED',
      times: 1,
    });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(429);
    expect((await early).status).toBe(200);
    expect((await pool.call(CHAT, body('echo'))).status).toBe(429);
  });

  it('bears any Retry-After', async () => {
    pool = await startPool();
    const scenario = 'http status=429 retry-after=99999999999999';
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario });
    for (let count = 0; count < 3; count++) {
      expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    }
  });

  it('is set by a test of the account, over what the server knows', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'expired-sign-in', times: 1 });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(503);
    await illRow(1);
    const env = Object.fromEntries(
      ['APP', 'AUTH', 'API', 'VERIFY'].map((name) => [`GEMINI_${name}_URL`, pool.standIn.url]),
    );
    const said = await runCommand('account', ['test', 'account-1'], pool.server.dataDir, env);
    expect(said).toContain('works');
    await eventually(async () => (await pool.call(CHAT, body('echo'))).status === 200);
  });
});

describe('an answer', () => {
  it('that is not streamed may take longer than the time for the first content', async () => {
    pool = await startPool({ accounts: 1, settings: { commitTimeoutMs: 1_000 } });
    const response = await pool.call(CHAT, body('count n=25 ms=100'));
    expect(response.status).toBe(200);
    expect((await response.json()).choices[0].message.content).toContain('25');
    const silent = await pool.call(CHAT, body('silence ms=9000'));
    expect(silent.status).toBe(504);
  });
});

describe('an import', () => {
  it('beats a rotation that was under way', async () => {
    pool = await startPool({ accounts: 1 });
    pool.standIn.setFault('demo-1', { on: 'key', scenario: 'rotation secure=1' });
    expect((await pool.call(CHAT, body('echo'))).status).toBe(200);
    await written();
    const rotated = await accountRow(pool, 1);
    expect(rotated?.credentialVersion).toBe(2);
    await importAccounts(pool.server.dataDir, seedFile([demoAccount(1)]));
    expect((await accountRow(pool, 1)).credentialVersion).toBe(3);
  });
});
