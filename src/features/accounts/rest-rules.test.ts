import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  EMPTY_ANSWER,
  type Failure,
  isDailyQuota,
  restMsOf,
  restRuleOf,
  restRules,
} from '@/features/accounts/rest-rules';
import { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';

const settings = Settings.parse({});
const MINUTE_MS = 60_000;

function failure(fault: Fault, more: Partial<Failure> = {}): Failure {
  return { fault, status: null, reason: null, message: 'it failed', retryAfterMs: null, ...more };
}

/** The rests of so many failures in a row, in seconds, without jitter. */
function restsOf(fault: Fault, count: number): (number | null)[] {
  const rule = restRules[fault];
  if (!rule) throw new Error('no rule');
  return Array.from({ length: count }, (_, before) => {
    const restMs = restMsOf(rule, failure(fault), before + 1, settings, 0);
    return restMs === null ? null : restMs / 1_000;
  });
}

describe('restRuleOf', () => {
  it.each(['request', 'client_left', 'ours'] as const)('blames no account for %s', (fault) => {
    expect(restRuleOf(failure(fault))).toBeNull();
  });

  it('blames no account for an empty answer', () => {
    expect(restRuleOf(failure('upstream', { reason: EMPTY_ANSWER }))).toBeNull();
    expect(restRuleOf(failure('upstream'))).not.toBeNull();
  });

  it.each(['quota', 'overload'] as const)('rests only the kind that met %s', (fault) => {
    expect(restRuleOf(failure(fault))?.rests).toBe('kind');
  });

  it.each(['credential', 'config'] as const)('calls a human for %s', (fault) => {
    expect(restRuleOf(failure(fault))?.condition).toBe('needs_human');
  });

  it('gives up what Google has blocked', () => {
    expect(restRuleOf(failure('blocked'))?.condition).toBe('dead');
  });
});

describe('isDailyQuota', () => {
  it('is one that is named so', () => {
    expect(isDailyQuota(failure('quota', { reason: 'QUOTA_EXCEEDED' }), 'text', 1)).toBe(true);
  });

  it('is any of a medium, which has no other limit', () => {
    expect(isDailyQuota(failure('quota'), 'images', 1)).toBe(true);
    expect(isDailyQuota(failure('quota'), 'videos', 1)).toBe(true);
  });

  it('is the fourth in a row without a reason', () => {
    expect([1, 2, 3, 4, 5].map((count) => isDailyQuota(failure('quota'), 'text', count))).toEqual([
      false,
      false,
      false,
      true,
      true,
    ]);
  });

  it('is none that says when it ends, and no overload', () => {
    const timed = failure('quota', { reason: 'QUOTA_EXCEEDED', retryAfterMs: 7_000 });
    expect(isDailyQuota(timed, 'images', 4)).toBe(false);
    expect(isDailyQuota(failure('overload'), 'images', 4)).toBe(false);
  });
});

describe('restMsOf', () => {
  it.each(['state', 'egress', 'upstream', 'truncated'] as const)(
    'doubles the rest after %s from 5 s to 5 min',
    (fault) => {
      expect(restsOf(fault, 8)).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
    },
  );

  it('doubles the rest after overload from 10 s to 5 min', () => {
    expect(restsOf('overload', 7)).toEqual([10, 20, 40, 80, 160, 300, 300]);
  });

  it('doubles the rest after a 429 without a reason from 1 min to 1 h', () => {
    expect(restsOf('quota', 8)).toEqual([60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
  });

  it('probes what needs a human every 15 minutes, and never what is dead', () => {
    expect(restsOf('credential', 3)).toEqual([900, 900, 900]);
    expect(restsOf('config', 3)).toEqual([900, 900, 900]);
    expect(restsOf('blocked', 2)).toEqual([null, null]);
  });

  it('honours Retry-After, but not for what a human must mend', () => {
    const restMs = (fault: Fault) => {
      const rule = restRules[fault];
      const timed = failure(fault, { retryAfterMs: 7_000 });
      return rule && restMsOf(rule, timed, 3, settings, 1);
    };
    expect(['quota', 'overload', 'upstream'].map((fault) => restMs(fault as Fault))).toEqual([
      7_000, 7_000, 7_000,
    ]);
    expect(restMs('credential')).toBe(15 * MINUTE_MS);
  });

  it('spreads repeats over a fifth more, whatever their number, and never the first', () => {
    const { overload } = restRules;
    if (!overload) throw new Error('no rule');
    const failures = fc.integer({ min: 1, max: 5_000 });
    fc.assert(
      fc.property(failures, fc.double({ min: 0, max: 1, noNaN: true }), (count, random) => {
        const least = Math.min(10_000 * 2 ** (count - 1), 300_000);
        const restMs = restMsOf(overload, failure('overload'), count, settings, random) ?? 0;
        expect(restMs).toBeGreaterThanOrEqual(least);
        expect(restMs).toBeLessThanOrEqual(count === 1 ? least : 1.2 * least);
        expect(Number.isInteger(restMs)).toBe(true);
      }),
    );
  });
});
