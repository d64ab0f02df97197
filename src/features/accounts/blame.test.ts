import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { reportFailure, reportSuccess, type Suspicion } from '@/features/accounts/blame';
import { healthOf, mergeHealth, toRow } from '@/features/accounts/health';
import { countUse, forecastOf } from '@/features/accounts/ledger';
import type { SeatNeed } from '@/features/accounts/rolls';
import { releaseSeat, type SeatOptions, type Turn, takeSeat } from '@/features/accounts/seats';
import { healthy, isHalfOpen, restEndMs } from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import { type Fault, GeminiError, type GeminiErrorOptions } from '@/gemini/errors';
import { encrypt, loadEncryptionKey } from '@/platform/crypto';
import { handMadeAccounts, resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.LOG_LEVEL = 'silent';
process.env.ENCRYPTION_KEY = '0'.repeat(64);

const NOW = Date.parse('2026-11-25T12:00:00Z');
const settings = Settings.parse({});
const text: SeatNeed = { kind: 'text', modelId: 'gemini', upstreamModelId: null, accountIds: [] };
const down = new GeminiError('upstream', 'it failed', { status: 503 });

let accounts: Map<string, Account>;

beforeEach(() => {
  resetProcessState();
  vi.useFakeTimers({ now: NOW });
  accounts = handMadeAccounts(...new Array(8).fill({}));
});

afterEach(() => {
  vi.useRealTimers();
});

function error(fault: Fault, options: GeminiErrorOptions = {}): GeminiError {
  return new GeminiError(fault, 'it failed', options);
}

let requests = 0;

function newRequest(modelId = 'gemini'): Suspicion {
  requests += 1;
  return { requestId: `request ${requests}`, modelId, blamed: [], openedGuard: false };
}

function firstTry(tried: string[] = []): SeatOptions {
  return { tried: new Set(tried), passesGuard: false };
}

function take(need = text, tried: string[] = []): Turn {
  const taken = takeSeat(need, firstTry(tried), accounts, settings);
  if ('turn' in taken) return taken;
  throw new Error('nobody is ready');
}

/** Lets `id` fail once. */
function fail(id: string, what: GeminiError, request = newRequest(), need = text): void {
  const others = [...accounts.keys()].filter((other) => other !== id);
  const turn = take(need, others);
  reportFailure(turn, what, settings, request);
  releaseSeat(turn);
}

function serve(id: string, need = text): void {
  const others = [...accounts.keys()].filter((other) => other !== id);
  const turn = take(need, others);
  reportSuccess(turn, need.modelId);
  releaseSeat(turn);
}

const restMs = (id: string) => Math.max(0, restEndMs(healthOf(id), 'text') - Date.now());

describe('reportFailure', () => {
  it('rests the account, which is then not taken', () => {
    fail('a', down);
    expect(restMs('a')).toBe(5_000);
    expect(take().account.id).toBe('b');
  });

  it.each(['request', 'client_left', 'ours'] as const)('blames nobody for %s', (fault) => {
    fail('a', error(fault));
    expect(healthOf('a')).toEqual(healthy);
  });

  it('has no say on an account whose health was set anew meanwhile', () => {
    const turn = take();
    const row = { id: turn.account.id, healthEpoch: 1, ...toRow(healthy) };
    mergeHealth([row]);
    reportFailure(turn, error('blocked'), settings, newRequest());
    expect(healthOf(turn.account.id)).toEqual(healthy);
    reportSuccess(turn, 'gemini');
    expect(healthOf(turn.account.id)).toEqual(healthy);
  });

  it('learns the daily limit from a refusal for the day, and only from that', () => {
    const usedUp = (id: string) => {
      const account = accounts.get(id);
      return account && forecastOf(account, settings, NOW).text.left;
    };
    for (const id of ['a', 'b']) countUse(id, 'text', NOW);
    fail('a', error('quota', { status: 429, reason: 'QUOTA_EXCEEDED' }));
    fail('b', error('quota', { status: 429 }));
    expect([usedUp('a'), usedUp('b')]).toEqual([0, null]);
  });
});

describe('the guard of the upstream', () => {
  it('blames only the first two of those that fail alike, and then lets single probes through', () => {
    for (const id of ['a', 'b', 'c']) fail(id, down);
    expect(['a', 'b', 'c'].map(restMs)).toEqual([5_000, 5_000, 0]);
    const shut = { returnInMs: 1_000, guard: down };
    expect(takeSeat(text, firstTry(), accounts, settings)).toEqual(shut);
    vi.advanceTimersByTime(1_000);
    fail('d', down);
    expect(restMs('d')).toBe(0);
    const shutLonger = { returnInMs: 2_000, guard: down };
    expect(takeSeat(text, firstTry(), accounts, settings)).toEqual(shutLonger);
  });

  it('opens the way again with the first success', () => {
    for (const id of ['a', 'b', 'c']) fail(id, down);
    vi.advanceTimersByTime(1_000);
    serve('d');
    expect([take().account.id, take().account.id]).toEqual(['e', 'f']);
  });

  it('calls nobody to a human because the key host turned an exit away', () => {
    const turnedAway = error('credential', { status: 403 });
    fail('a', turnedAway);
    expect(healthOf('a').condition).toBe('needs_human');
    for (const id of ['b', 'c']) fail(id, turnedAway);
    expect(['a', 'b', 'c'].map((id) => healthOf(id).condition)).toEqual(['ok', 'ok', 'ok']);
    vi.advanceTimersByTime(1_000);
    serve('d');
    expect(['a', 'b', 'c'].map(restMs)).toEqual([0, 0, 0]);
  });

  it('does not shield an account from what is its own fault', () => {
    for (const id of ['a', 'b', 'c']) fail(id, down);
    vi.advanceTimersByTime(1_000);
    fail('d', error('blocked', { status: 403 }));
    expect(healthOf('d').condition).toBe('dead');
  });

  it('keeps its probes when the clock is set', () => {
    for (const id of ['a', 'b', 'c']) fail(id, down);
    vi.setSystemTime(NOW - 3_600_000);
    expect(takeSeat(text, firstTry(), accounts, settings)).toEqual({
      returnInMs: 1_000,
      guard: down,
    });
  });
});

describe('the guard of a model', () => {
  it('leaves other models alone', () => {
    const overloaded = error('overload', { status: 429, reason: 'LLM_OVERLOADED' });
    for (const id of ['a', 'b', 'c']) fail(id, overloaded);
    expect(takeSeat(text, firstTry(), accounts, settings)).toMatchObject({ guard: overloaded });
    expect(take({ ...text, modelId: 'other' }).account.id).toBe('d');
  });
});

describe('the guard of an exit', () => {
  const limited = error('quota', { status: 429 });

  beforeEach(() => {
    loadEncryptionKey(false);
    const proxied = { sealedProxyUrl: encrypt('http://127.0.0.1:9') };
    accounts = handMadeAccounts({}, {}, {}, {}, {}, proxied);
  });

  it('leaves accounts of other exits alone, without blame for its own', () => {
    for (const id of ['a', 'b', 'c']) fail(id, limited);
    expect(restMs('c')).toBe(0);
    expect([take().account.id, take().account.id]).toEqual(['f', 'f']);
    expect(takeSeat(text, firstTry(['f']), accounts, settings)).toEqual({
      returnInMs: 1_000,
      guard: limited,
    });
  });

  it('lets one probe at a time through, whichever account it takes', () => {
    for (const id of ['a', 'b', 'c']) fail(id, limited);
    vi.advanceTimersByTime(1_000);
    const probe = take(text, ['f']);
    expect(takeSeat(text, firstTry(['f']), accounts, settings)).toMatchObject({
      returnInMs: 2_000,
    });
    reportSuccess(probe, 'gemini');
    releaseSeat(probe);
    expect(take(text, ['f']).account.id).not.toBe('f');
  });
});

describe('a request that fails everywhere while others are served', () => {
  it('has no account rest in the end: they are half open', () => {
    const request = newRequest();
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      fail(id, down, request);
      serve('h');
    }
    expect(['a', 'b', 'c', 'd', 'e'].map(restMs)).toEqual([0, 0, 0, 0, 0]);
    expect(['a', 'b'].map((id) => isHalfOpen(healthOf(id), 'text'))).toEqual([true, true]);
    expect(['c', 'd', 'e'].map(healthOf)).toEqual([healthy, healthy, healthy]);
    serve('a');
    expect(healthOf('a')).toEqual(healthy);
  });

  it('says nothing of an account that has served meanwhile', () => {
    const request = newRequest();
    fail('a', down, request);
    vi.advanceTimersByTime(5_000);
    serve('a');
    for (const id of ['b', 'c']) {
      fail(id, down, request);
      serve('h');
    }
    expect(healthOf('a')).toEqual(healthy);
    expect(['b', 'c'].map(restMs)).toEqual([0, 0]);
  });

  it('is not told from others by failures that differ', () => {
    const request = newRequest();
    for (const [index, id] of ['a', 'b', 'c', 'd'].entries()) {
      fail(id, error('upstream', { status: 500 + index }), request);
      serve('h');
    }
    expect(['a', 'b', 'c', 'd'].map(restMs)).toEqual([5_000, 5_000, 5_000, 5_000]);
  });

  it('lets an account rest longer that fails again on its own', () => {
    fail('a', down);
    serve('h');
    vi.advanceTimersByTime(5_000);
    fail('a', down);
    expect(restMs('a')).toBeGreaterThanOrEqual(10_000);
  });

  it('opens no guard on its own with what its content may bring about', () => {
    const request = newRequest();
    for (const id of ['a', 'b', 'c', 'd']) fail(id, down, request);
    expect(['a', 'b', 'c', 'd'].map(restMs)).toEqual([0, 0, 0, 0]);
    expect('turn' in takeSeat(text, firstTry(), accounts, settings)).toBe(true);
    fail('e', down);
    expect(takeSeat(text, firstTry(), accounts, settings)).toMatchObject({ guard: down });
  });

  it('opens a guard on its own with what it cannot', () => {
    const request = newRequest();
    const limited = error('quota', { status: 429 });
    for (const id of ['a', 'b', 'c']) fail(id, limited, request);
    expect(['a', 'b', 'c'].map(restMs)).toEqual([60_000, 60_000, 0]);
    expect(takeSeat(text, firstTry(), accounts, settings)).toMatchObject({ guard: limited });
  });
});

describe('reportSuccess', () => {
  it('ends what was wrong with the account', () => {
    fail('a', down);
    vi.advanceTimersByTime(5_000);
    serve('a');
    expect(healthOf('a')).toEqual(healthy);
  });

  it('does not end a rest that began after the answer had', () => {
    const others = [...accounts.keys()].filter((id) => id !== 'a');
    const early = take(text, others);
    fail('a', error('quota', { reason: 'QUOTA_EXCEEDED' }));
    reportSuccess(early, 'gemini');
    expect(restMs('a')).toBeGreaterThan(0);
  });
});
