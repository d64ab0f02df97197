import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { healthOf, setHealth } from '@/features/accounts/health';
import { countUse, learnLimit } from '@/features/accounts/ledger';
import { learnFromSuccess } from '@/features/accounts/offers';
import { nextPacificMidnight } from '@/features/accounts/pacific-day';
import type { Failure } from '@/features/accounts/rest-rules';
import type { SeatNeed } from '@/features/accounts/rolls';
import {
  answered,
  currentTurn,
  isModelLacking,
  refreshSeat,
  releaseSeat,
  soonestInMs,
  type Turn,
  takeSeat,
} from '@/features/accounts/seats';
import { afterFailure, afterSuccess, healthy } from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import type { QuotaKind } from '@/gemini/tools';
import { handMadeAccounts, resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.LOG_LEVEL = 'silent';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const MIDNIGHT = nextPacificMidnight(NOW);
const usual = Settings.parse({});
const nobody: ReadonlySet<string> = new Set();

beforeEach(() => {
  resetProcessState();
  vi.useFakeTimers({ now: NOW });
});

afterEach(() => {
  vi.useRealTimers();
});

const text: SeatNeed = { kind: 'text', modelId: 'gemini', upstreamModelId: null, accountIds: [] };
const images: SeatNeed = { ...text, kind: 'images' };
const videos: SeatNeed = { ...text, kind: 'videos' };

/** A pool of these accounts. */
function poolOf(accounts: Map<string, Account>, settings = usual) {
  const take = (need = text, tried = nobody) =>
    takeSeat(need, { tried, passesGuard: false }, accounts, settings);
  return {
    take,
    /** The turn on the account that is next. */
    turn(need = text, tried = nobody): Turn {
      const taken = take(need, tried);
      if ('turn' in taken) return taken;
      throw new Error('nobody is ready');
    },
    /** The account that is next, given back at once; null if none is ready. */
    next(need = text, tried = nobody): string | null {
      const taken = take(need, tried);
      if (!('turn' in taken)) return null;
      releaseSeat(taken);
      return taken.account.id;
    },
  };
}

const refusalBy = (id: string) => ({ account: { id }, healthEpoch: 0 });

function failNow(id: string, failure: Partial<Failure>, kind: QuotaKind = 'text'): void {
  const what: Failure = {
    fault: 'quota',
    status: null,
    reason: null,
    message: 'it failed',
    retryAfterMs: null,
    ...failure,
  };
  const use = { kind, turn: currentTurn() + 1, endTurn: currentTurn() };
  setHealth(id, afterFailure(healthOf(id), what, use, usual, Date.now(), 0));
  refreshSeat(id);
}

describe('takeSeat', () => {
  it('finds nobody among nobody', () => {
    const { take } = poolOf(new Map());
    expect(take()).toEqual({ returnInMs: null, guard: null });
  });

  it('goes round', () => {
    const { next } = poolOf(handMadeAccounts({}, {}, {}));
    expect([1, 2, 3, 4, 5, 6].map(() => next())).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  it('shares by weight, and lets no one who was away make up for it', () => {
    const { next } = poolOf(handMadeAccounts({}, {}, { weight: 2 }));
    const turnsOf = (id: string, turns: number) =>
      Array.from({ length: turns }, () => next()).filter((taken) => taken === id).length;
    expect(turnsOf('c', 400)).toBe(200);
    failNow('a', { fault: 'overload' });
    expect(turnsOf('c', 300)).toBe(200);
    vi.advanceTimersByTime(10_000);
    expect(turnsOf('a', 100)).toBeLessThanOrEqual(27);
  });

  it('takes the preferred account out of turn, and the others before its next', () => {
    const { next } = poolOf(handMadeAccounts({}, {}, {}));
    const preferB = { ...text, preferredId: 'b' };
    expect([1, 2, 3].map(() => next(preferB))).toEqual(['b', 'b', 'b']);
    expect([1, 2, 3, 4, 5, 6].map(() => next())).toEqual(['a', 'c', 'a', 'c', 'a', 'c']);
  });

  it('takes another one if the preferred account may not serve, is busy, or slow', () => {
    const { next, turn } = poolOf(handMadeAccounts({}, { maxConcurrent: 1 }, { enabled: false }));
    const prefer = (preferredId: string) => ({ ...text, preferredId });
    expect(next(prefer('b'), new Set(['b']))).toBe('a');
    expect(next(prefer('c'))).not.toBe('c');
    expect(next(prefer('deleted'))).not.toBeNull();
    expect(next({ ...prefer('b'), accountIds: ['a'] })).toBe('a');
    const taken = turn(prefer('b'));
    expect([taken.account.id, next(prefer('b'))]).toEqual(['b', 'a']);
    releaseSeat(taken);
    failNow('b', { fault: 'overload' });
    expect(next(prefer('b'))).toBe('a');
    turn(prefer('a'));
    vi.advanceTimersByTime(11_000);
    expect(next(prefer('a'))).toBe('b');
  });

  it('does not prefer an account that has failed to one that is well', () => {
    const { next } = poolOf(handMadeAccounts({}, {}));
    const preferB = { ...text, preferredId: 'b' };
    expect([next(preferB), next(preferB)]).toEqual(['b', 'b']);
    failNow('b', { fault: 'overload' });
    vi.advanceTimersByTime(10_000);
    expect(next(preferB)).toBe('a');
    expect(next(preferB, new Set(['a']))).toBe('b');
  });

  it('asks past a guard neither what was tried nor who lacks the model', () => {
    const accounts = handMadeAccounts({}, {}, {});
    const pro = { ...text, modelId: 'pro', upstreamModelId: 'gemini-pro' };
    learnFromSuccess('gemini-pro', [refusalBy('a')], NOW);
    const options = { tried: new Set(['b']), passesGuard: true };
    expect(takeSeat(pro, options, accounts, usual)).toMatchObject({ account: { id: 'c' } });
  });

  it('gives each taken seat its own turn', () => {
    const { turn } = poolOf(handMadeAccounts({}, {}));
    expect([turn().turn, turn().turn, turn().turn]).toEqual([1, 2, 3]);
  });

  it('leaves out what was tried, and takes it again for others', () => {
    const { next, take } = poolOf(handMadeAccounts({}, {}));
    expect(next(text, new Set(['a']))).toBe('b');
    expect(next()).toBe('a');
    expect(take(text, new Set(['a', 'b']))).toEqual({ returnInMs: null, guard: null });
    expect(next(text, new Set(['deleted']))).not.toBeNull();
  });

  it('never takes a disabled or a dead account', () => {
    const { next } = poolOf(handMadeAccounts({ enabled: false }, {}, {}));
    setHealth('b', { ...healthy, condition: 'dead' });
    expect([next(), next(), next()]).toEqual(['c', 'c', 'c']);
  });

  it('takes only accounts on the list of the model', () => {
    const { next } = poolOf(handMadeAccounts({}, {}, {}));
    const only = { ...text, modelId: 'special', accountIds: ['b', 'gone'] };
    expect([next(only), next(only)]).toEqual(['b', 'b']);
    expect(next({ ...only, accountIds: ['gone'] })).toBeNull();
    expect([next(), next()]).toEqual(['a', 'c']);
  });

  it('does not ask an account for a model that it has turned out not to offer', () => {
    const { next, take } = poolOf(handMadeAccounts({}, {}, {}));
    const pro = { ...text, modelId: 'pro', upstreamModelId: 'gemini-pro' };
    const listed = { ...pro, modelId: 'listed', accountIds: ['a', 'b'] };
    expect([next(pro), next(listed)]).toEqual(['a', 'b']);
    learnFromSuccess('gemini-pro', [refusalBy('b')], NOW);
    refreshSeat('b');
    expect([1, 2, 3, 4].map(() => next(pro))).toEqual(['c', 'a', 'c', 'a']);
    expect([next(listed), next(listed)]).toEqual(['a', 'a']);
    expect(next(pro, new Set(['a', 'c']))).toBeNull();
    expect(next(text)).toBe('b');
    learnFromSuccess('gemini-pro', [refusalBy('a')], NOW);
    refreshSeat('a');
    expect(take(listed)).toEqual({ returnInMs: null, guard: null });
    expect([isModelLacking(listed), isModelLacking(pro), isModelLacking(text)]).toEqual([
      true,
      true,
      false,
    ]);
    vi.advanceTimersByTime(24 * 3_600_000);
    expect([next(listed), next(listed)].sort()).toEqual(['a', 'b']);
    expect(isModelLacking(listed)).toBe(false);
  });

  it('does not blame the model where no account could serve anyway', () => {
    const { take } = poolOf(handMadeAccounts({}, { enabled: false }));
    const pro = { ...text, modelId: 'pro', upstreamModelId: 'gemini-pro' };
    learnFromSuccess('gemini-pro', [refusalBy('a'), refusalBy('b')], NOW);
    setHealth('a', { ...healthy, condition: 'needs_human' });
    expect(take(pro)).toEqual({ returnInMs: null, guard: null });
    expect(isModelLacking(pro)).toBe(false);
  });

  it('follows the settings and the accounts when they change', () => {
    const accounts = handMadeAccounts({}, {}, {});
    const { next } = poolOf(accounts);
    expect(next()).toBe('a');
    const filling = poolOf(accounts, { ...usual, selectionStrategy: 'fill_first' });
    expect([filling.next(), filling.next()]).toEqual(['a', 'a']);
    const fewer = new Map([...accounts].filter(([id]) => id !== 'a'));
    const rest = poolOf(fewer);
    expect([rest.next(), rest.next()].sort()).toEqual(['b', 'c']);
  });

  it('draws by weight with weighted_random', () => {
    const { next } = poolOf(handMadeAccounts({}, { weight: 3 }), {
      ...usual,
      selectionStrategy: 'weighted_random',
    });
    const random = vi.spyOn(Math, 'random');
    random.mockReturnValueOnce(0.24).mockReturnValueOnce(0.26).mockReturnValueOnce(0.99);
    expect([next(), next(), next()]).toEqual(['a', 'b', 'b']);
    random.mockRestore();
  });

  it('does not look at all of 10,000 accounts', () => {
    let looks = 0;
    const accounts = handMadeAccounts(...new Array(10_000).fill({}));
    for (const account of accounts.values()) {
      Object.defineProperty(account, 'weight', {
        get() {
          looks += 1;
          return 1;
        },
      });
    }
    const { next } = poolOf(accounts);
    next();
    looks = 0;
    const taken = Array.from({ length: 100 }, () => next());
    expect(new Set(taken).size).toBe(100);
    expect(looks).toBeLessThan(1_000);
  });
});

describe('the limit of requests at the same time', () => {
  it('holds until a seat is given back', () => {
    const { turn, take } = poolOf(handMadeAccounts({ maxConcurrent: 2 }));
    const first = turn();
    turn();
    expect(take()).toEqual({ returnInMs: 0, guard: null });
    releaseSeat(first);
    expect('turn' in take()).toBe(true);
    expect('turn' in take()).toBe(false);
  });

  it('is that of the settings unless the account has its own, over all kinds', () => {
    const accounts = handMadeAccounts({}, { maxConcurrent: 3 });
    const { turn, take } = poolOf(accounts, { ...usual, maxConcurrentPerAccount: 1 });
    const taken = [text, images, videos, text].map((need) => turn(need).account.id);
    expect(taken.toSorted()).toEqual(['a', 'b', 'b', 'b']);
    expect('turn' in take(videos)).toBe(false);
  });

  it('holds when the table was loaded anew meanwhile', () => {
    const accounts = handMadeAccounts({ maxConcurrent: 1 });
    const first = poolOf(accounts).turn();
    const { take } = poolOf(new Map(accounts));
    expect('turn' in take()).toBe(false);
    releaseSeat(first);
    expect('turn' in take()).toBe(true);
  });

  it('takes back a seat of a deleted account', () => {
    const first = poolOf(handMadeAccounts({})).turn();
    const { take } = poolOf(new Map());
    take();
    expect(() => releaseSeat(first)).not.toThrow();
  });
});

describe('a rest', () => {
  it('ends by itself', () => {
    const { next, take } = poolOf(handMadeAccounts({}));
    next();
    failNow('a', { fault: 'overload' });
    expect(take()).toEqual({ returnInMs: 10_000, guard: null });
    vi.advanceTimersByTime(9_999);
    expect(next()).toBeNull();
    vi.advanceTimersByTime(1);
    expect(next()).toBe('a');
  });

  it('of images leaves text and videos ready', () => {
    const { next, take } = poolOf(handMadeAccounts({}));
    next();
    failNow('a', { reason: 'QUOTA_EXCEEDED' }, 'images');
    expect(take(images)).toEqual({ returnInMs: MIDNIGHT - NOW, guard: null });
    expect([next(text), next(videos)]).toEqual(['a', 'a']);
  });

  it('of text keeps everything', () => {
    const { next } = poolOf(handMadeAccounts({}));
    next();
    failNow('a', { retryAfterMs: 7_000 });
    expect([text, images, videos].map((need) => next(need))).toEqual([null, null, null]);
    vi.advanceTimersByTime(7_000);
    expect([text, images, videos].map((need) => next(need))).toEqual(['a', 'a', 'a']);
  });

  it('lasts as long as before when the clock is set', () => {
    const { next, take } = poolOf(handMadeAccounts({}));
    next();
    failNow('a', { fault: 'overload' });
    vi.setSystemTime(NOW + 86_400_000);
    expect(take()).toEqual({ returnInMs: 10_000, guard: null });
    vi.setSystemTime(NOW - 86_400_000);
    expect(take()).toEqual({ returnInMs: 10_000, guard: null });
    vi.advanceTimersByTime(10_000);
    expect(next()).toBe('a');
  });

  it('tells how long to wait for the first that comes back, tried or not', () => {
    const { next, take } = poolOf(handMadeAccounts({}, {}, { enabled: false }));
    next();
    failNow('a', { retryAfterMs: 7_000 });
    failNow('b', { retryAfterMs: 9_000 });
    expect(take()).toEqual({ returnInMs: 7_000, guard: null });
    expect(take(text, new Set(['a']))).toEqual({ returnInMs: 9_000, guard: null });
    expect(soonestInMs(text)).toBe(7_000);
    expect(take({ ...text, accountIds: ['c'] })).toEqual({ returnInMs: null, guard: null });
  });
});

describe('a half-open account', () => {
  it('is probed by one request at a time until one succeeds', () => {
    const { turn, take } = poolOf(handMadeAccounts({}));
    turn();
    failNow('a', { fault: 'overload' });
    vi.advanceTimersByTime(10_000);
    const probe = turn();
    expect(take()).toEqual({ returnInMs: 0, guard: null });
    expect(take(images)).toEqual({ returnInMs: 0, guard: null });
    releaseSeat(probe);
    const second = turn();
    const use = { kind: second.kind, turn: second.turn, endTurn: currentTurn() };
    setHealth('a', afterSuccess(healthOf('a'), use));
    refreshSeat('a');
    expect('turn' in take()).toBe(true);
  });

  it('is not freed by a request that began before its rest', () => {
    const { turn, take } = poolOf(handMadeAccounts({}));
    const old = turn();
    failNow('a', { fault: 'overload' });
    vi.advanceTimersByTime(10_000);
    turn();
    releaseSeat(old);
    expect('turn' in take()).toBe(false);
  });

  it('of images alone serves any number of texts', () => {
    const { turn, take } = poolOf(handMadeAccounts({}));
    turn();
    failNow('a', { fault: 'overload' }, 'images');
    vi.advanceTimersByTime(10_000);
    turn(images);
    expect('turn' in take(images)).toBe(false);
    expect('turn' in take(text)).toBe(true);
    expect('turn' in take(videos)).toBe(true);
  });

  it('that needs a human is probed when that is due, but promises nothing', () => {
    const { next, take } = poolOf(handMadeAccounts({}));
    next();
    failNow('a', { fault: 'credential' });
    expect(take()).toEqual({ returnInMs: null, guard: null });
    vi.advanceTimersByTime(usual.probeEveryMs);
    expect(next()).toBe('a');
  });
});

describe('an account that keeps a request waiting for its first word', () => {
  it('comes last after 5 s, until the word is there', () => {
    const { turn, next } = poolOf(handMadeAccounts({}, {}));
    const waiting = turn();
    vi.advanceTimersByTime(4_999);
    expect([next(), next()]).toEqual(['b', 'a']);
    vi.advanceTimersByTime(1);
    expect([next(), next(), next()]).toEqual(['b', 'b', 'b']);
    expect(next(text, new Set(['b']))).toBe('a');
    answered(waiting);
    expect([next(), next(), next()]).toContain('a');
  });

  it('comes last as long as any of its requests waits', () => {
    const { turn, next } = poolOf(handMadeAccounts({}, {}), {
      ...usual,
      selectionStrategy: 'fill_first',
    });
    const [first, second] = [turn(), turn()];
    vi.advanceTimersByTime(5_000);
    answered(first);
    expect(next()).toBe('b');
    releaseSeat(second);
    expect(next()).toBe('a');
  });
});

describe('the daily limit', () => {
  const used = (id: string, kind: QuotaKind, count: number) => {
    for (let use = 0; use < count; use++) countUse(id, kind, Date.now());
    refreshSeat(id);
  };

  it('of the operator holds until Pacific midnight', () => {
    const limits = { text: 2, images: null, videos: null };
    const { next, take } = poolOf(handMadeAccounts({ limits }));
    next();
    used('a', 'text', 1);
    expect(next()).toBe('a');
    used('a', 'text', 1);
    expect(take()).toEqual({ returnInMs: MIDNIGHT - NOW, guard: null });
    expect(take(images)).toEqual({ returnInMs: MIDNIGHT - NOW, guard: null });
    vi.advanceTimersByTime(MIDNIGHT - NOW - 1);
    expect(next()).toBeNull();
    vi.advanceTimersByTime(1);
    expect([next(), next(images)]).toEqual(['a', 'a']);
  });

  it('of images leaves text ready', () => {
    const { next } = poolOf(handMadeAccounts({}), { ...usual, imagesDailyLimit: 1 });
    next(images);
    used('a', 'images', 1);
    expect([next(images), next(text)]).toEqual([null, 'a']);
  });

  it('of nothing forbids a kind', () => {
    const limits = { text: null, images: null, videos: 0 };
    const { next } = poolOf(handMadeAccounts({ limits }));
    expect([next(videos), next(text)]).toEqual([null, 'a']);
  });

  it('that was learned forbids nothing, but lets others go first until midnight', () => {
    const { next } = poolOf(handMadeAccounts({}, {}));
    next();
    used('a', 'text', 3);
    learnLimit('a', 'text', NOW);
    refreshSeat('a');
    expect([next(), next(), next()]).toEqual(['b', 'b', 'b']);
    expect(next(text, new Set(['b']))).toBe('a');
    vi.advanceTimersByTime(MIDNIGHT - NOW);
    const taken = Array.from({ length: 40 }, () => next());
    expect(taken.filter((id) => id === 'a').length).toBeGreaterThan(10);
  });
});
