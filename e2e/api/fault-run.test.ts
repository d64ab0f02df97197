import { afterEach, describe, expect, it } from 'vitest';
import { runCommand } from '../support/commands';
import { type Pool, question, startPool } from '../support/pool';

/** Nine of ten accounts are ill, each in another way: the callers must not notice. */

const REQUESTS = 1_000;
const CLIENTS = 32;
const CHAT = '/v1/chat/completions';
/** Nothing listens there. */
const DEAD_PROXY = 'http://127.0.0.1:9';

interface Illness {
  name: string;
  on: 'key' | 'createSession' | 'streamAssist';
  scenario: string;
  /** The first rest that the rules give, and what it doubles to; null: longer than the run. */
  restMs: [first: number, longest: number] | null;
}

const broken: Illness['restMs'] = [5_000, 300_000];

const first: Illness[] = [
  { name: '401', on: 'key', scenario: 'expired-sign-in', restMs: null },
  { name: '403', on: 'streamAssist', scenario: 'http status=403', restMs: broken },
  { name: '404', on: 'streamAssist', scenario: 'http status=404', restMs: broken },
  { name: '429', on: 'streamAssist', scenario: 'http status=429', restMs: null },
  { name: '500', on: 'streamAssist', scenario: 'http status=500', restMs: broken },
  { name: 'no answer', on: 'streamAssist', scenario: 'hang', restMs: broken },
  { name: 'broken before text', on: 'streamAssist', scenario: 'truncated after=0', restMs: broken },
  { name: 'malformed', on: 'streamAssist', scenario: 'malformed after=0', restMs: broken },
];

const second: Illness[] = [
  {
    name: 'daily quota',
    on: 'streamAssist',
    scenario: 'http status=429 reason=QUOTA_EXCEEDED',
    restMs: null,
  },
  {
    name: 'overload',
    on: 'streamAssist',
    scenario: 'http status=429 reason=LLM_OVERLOADED',
    restMs: [10_000, 300_000],
  },
  {
    name: 'blocked',
    on: 'streamAssist',
    scenario: 'http status=403 message="Access Restricted"',
    restMs: null,
  },
  { name: 'wrong workspace', on: 'createSession', scenario: 'http status=401', restMs: null },
  { name: 'sign-in page', on: 'key', scenario: 'sign-in-redirect', restMs: null },
  { name: 'connection reset', on: 'streamAssist', scenario: 'reset-before', restMs: broken },
  { name: 'thoughts, then a cut', on: 'streamAssist', scenario: 'reset-after n=0', restMs: broken },
  { name: 'failed state', on: 'streamAssist', scenario: 'failed', restMs: broken },
];

let pool: Pool;
afterEach(() => pool.close());

/** How many requests may be on an account before the first of them has failed. */
const AT_ONCE = 2 * Math.ceil(CLIENTS / 10);

/**
 * How often an account may be asked: by those that began before the first had failed, then once
 * after each rest. One that is silent fails late, so that every client may be waiting there.
 */
function allowed({ scenario, restMs }: Illness, elapsedMs: number): number {
  let asks = scenario === 'hang' ? CLIENTS : AT_ONCE;
  if (restMs === null) return asks;
  const [firstMs, longestMs] = restMs;
  for (let atMs = firstMs, rest = firstMs; atMs < elapsedMs; atMs += rest) {
    asks += 1;
    rest = Math.min(2 * rest, longestMs);
  }
  return asks;
}

/** Sends all requests, half of them streamed; the answers that were not whole. */
async function run(): Promise<string[]> {
  const failures: string[] = [];
  let sent = 0;
  const client = async () => {
    while (sent < REQUESTS) {
      const number = sent++;
      const stream = number % 2 === 0;
      const words = `answer ${number}`;
      const response = await pool.call(CHAT, {
        model: 'gemini-enterprise',
        messages: question(`text value="${words}"`),
        stream,
      });
      const text = await response.text();
      const isWhole =
        response.status === 200 &&
        (stream
          ? text.includes('data: [DONE]')
          : JSON.parse(text).choices[0].message.content === words);
      if (!isWhole) failures.push(`${response.status} ${text.slice(0, 300)}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return failures;
}

describe.each([
  ['refused, limited, broken, silent', first],
  ['spent, overloaded, blocked, signed out', second],
])('9 of 10 accounts are ill: %s', (_, illnesses) => {
  it('gives every caller a whole answer, and asks nobody in vain', async () => {
    pool = await startPool({ accounts: 10, settings: { firstContentTimeoutMs: 2_000 } });
    await runCommand('account', ['set', 'account-9', `proxy=${DEAD_PROXY}`], pool.server.dataDir);
    // A running server sees it within a second.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    illnesses.forEach(({ on, scenario }, index) => {
      pool.standIn.setFault(`demo-${index + 1}`, { on, scenario });
    });
    const startedAt = Date.now();
    expect(await run()).toEqual([]);
    const elapsedMs = Date.now() - startedAt;

    illnesses.forEach((illness, index) => {
      const { name, on } = illness;
      // A missing session is asked for twice a try, and a refused token is renewed once.
      const perTry = name === '404' ? 2 : 1;
      const asks = pool.standIn.counts(`demo-${index + 1}`)[on] ?? 0;
      expect({ name, asks, isAllowed: asks <= perTry * allowed(illness, elapsedMs) }).toEqual({
        name,
        asks: expect.any(Number),
        isAllowed: true,
      });
      expect(asks, name).toBeGreaterThan(0);
    });
    expect(pool.standIn.counts('demo-9').streamAssist ?? 0).toBe(0);
    expect(pool.standIn.counts('demo-10').streamAssist).toBe(REQUESTS);
  });
});
