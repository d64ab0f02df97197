import { beforeEach, describe, expect, it } from 'vitest';
import {
  countUse,
  forecastOf,
  headroomOf,
  learnLimit,
  mergeQuotas,
  quotaDayEndMs,
  spentUntilMs,
} from '@/features/accounts/ledger';
import { nextPacificMidnight, pacificDay } from '@/features/accounts/pacific-day';
import { Settings } from '@/features/settings/schema';
import { resetProcessState } from '../../../e2e/support/hand-made-accounts';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const DAY = pacificDay(NOW);
const MIDNIGHT = nextPacificMidnight(NOW);
const settings = Settings.parse({ imagesDailyLimit: 2 });
const account = { id: 'a', limits: { text: 4, images: null, videos: null } };

beforeEach(() => {
  resetProcessState();
  mergeQuotas(['a'], []);
});

const row = (used: number, day = DAY, learnedLimit: number | null = null) => {
  return { accountId: 'a', kind: 'text', day, used, learnedLimit };
};

describe('countUse', () => {
  it('counts by kind, and begins anew at Pacific midnight', () => {
    countUse('a', 'text', NOW);
    countUse('a', 'text', NOW);
    countUse('a', 'images', NOW);
    expect(forecastOf(account, settings, NOW)).toEqual({
      text: { used: 2, left: 2 },
      images: { used: 1, left: 1 },
      videos: { used: 0, left: null },
    });
    expect(forecastOf(account, settings, MIDNIGHT).text).toEqual({ used: 0, left: 4 });
  });

  it('goes back with a clock that is set back', () => {
    countUse('a', 'text', MIDNIGHT);
    expect(quotaDayEndMs(MIDNIGHT)).toBe(nextPacificMidnight(MIDNIGHT));
    expect(quotaDayEndMs(NOW)).toBe(MIDNIGHT);
  });
});

describe('spentUntilMs', () => {
  it('is Pacific midnight once a limit of the operator is reached', () => {
    countUse('a', 'images', NOW);
    expect(spentUntilMs(account, 'images', settings, NOW)).toBe(0);
    countUse('a', 'images', NOW);
    expect(spentUntilMs(account, 'images', settings, NOW)).toBe(MIDNIGHT);
    expect(spentUntilMs(account, 'text', settings, NOW)).toBe(0);
  });

  it('holds images up when text is spent', () => {
    for (let use = 0; use < 4; use++) countUse('a', 'text', NOW);
    expect(spentUntilMs(account, 'images', settings, NOW)).toBe(MIDNIGHT);
  });

  it('asks no learned limit', () => {
    countUse('a', 'videos', NOW);
    learnLimit('a', 'videos', NOW);
    expect(spentUntilMs(account, 'videos', settings, NOW)).toBe(0);
    expect(headroomOf(account, 'videos', settings, NOW)).toBe(0);
    expect(forecastOf(account, settings, NOW).videos).toEqual({ used: 1, left: 0 });
  });
});

describe('headroomOf', () => {
  it('is the share that is left, and 1 where no limit is known', () => {
    countUse('a', 'text', NOW);
    countUse('a', 'videos', NOW);
    expect(headroomOf(account, 'text', settings, NOW)).toBe(0.75);
    expect(headroomOf(account, 'videos', settings, NOW)).toBe(1);
    expect(headroomOf(account, 'text', settings, MIDNIGHT)).toBe(1);
  });
});

describe('mergeQuotas', () => {
  const usedNow = () => forecastOf(account, settings, NOW).text.used;

  it('takes what rows know and this process does not', () => {
    mergeQuotas(['a'], [row(3)]);
    expect(usedNow()).toBe(3);
  });

  it('keeps what this process knows and rows do not yet', () => {
    countUse('a', 'text', NOW);
    countUse('a', 'text', NOW);
    mergeQuotas(['a'], [row(1)]);
    expect(usedNow()).toBe(2);
    mergeQuotas(['a'], [row(9, '2026-11-24')]);
    expect(usedNow()).toBe(2);
  });

  it('keeps a limit that was learned on another day', () => {
    mergeQuotas(['a'], [row(9, '2026-11-24', 9)]);
    const free = { ...account, limits: { ...account.limits, text: null } };
    expect(forecastOf(free, settings, NOW).text).toEqual({ used: 0, left: 9 });
  });

  it('forgets accounts that are gone, and kinds that it does not know', () => {
    countUse('a', 'text', NOW);
    mergeQuotas([], [row(3)]);
    expect(usedNow()).toBe(0);
    mergeQuotas(['a'], [{ ...row(3), kind: 'search' }]);
    expect(usedNow()).toBe(0);
  });
});
