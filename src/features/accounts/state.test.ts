import { describe, expect, it } from 'vitest';
import {
  accountState,
  afterFailure,
  afterSuccess,
  EMPTY_ANSWER,
  type Failure,
  type Health,
  healthy,
  mayServe,
  nextPacificMidnight,
} from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';

const settings = Settings.parse({});
const NOW = Date.parse('2026-11-25T12:00:00Z');
const MINUTE = 60_000;

function failure(fault: Fault, more: Partial<Failure> = {}): Failure {
  return { fault, status: null, reason: null, message: 'it failed', retryAfterMs: null, ...more };
}

function restMs(health: Health): number | null {
  return health.restUntilMs === null ? null : health.restUntilMs - NOW;
}

describe('afterFailure', () => {
  it.each(['request', 'state', 'client_left', 'ours'] as const)('rests nobody for %s', (fault) => {
    expect(afterFailure(healthy, failure(fault), settings, NOW)).toBe(healthy);
  });

  it('does not rest an account whose answer was empty', () => {
    const empty = failure('upstream', { reason: EMPTY_ANSWER });
    expect(afterFailure(healthy, empty, settings, NOW)).toBe(healthy);
  });

  it('rests 5 s after a broken upstream, connection or answer', () => {
    for (const fault of ['upstream', 'egress', 'truncated'] as const) {
      expect(restMs(afterFailure(healthy, failure(fault), settings, NOW))).toBe(5_000);
    }
  });

  it('doubles the rest after overload from 10 s to 5 min', () => {
    let health = healthy;
    const rests: (number | null)[] = [];
    for (let count = 0; count < 7; count++) {
      health = afterFailure(health, failure('overload'), settings, NOW);
      rests.push(restMs(health));
    }
    expect(rests).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  it('doubles the rest after a 429 without a reason, to Pacific midnight after the 4th', () => {
    let health = healthy;
    const rests: (number | null)[] = [];
    for (let count = 0; count < 4; count++) {
      health = afterFailure(health, failure('quota'), settings, NOW);
      rests.push(restMs(health));
    }
    expect(rests).toEqual([MINUTE, 2 * MINUTE, 4 * MINUTE, nextPacificMidnight(NOW) - NOW]);
  });

  it('rests to Pacific midnight when the daily quota is spent', () => {
    const spent = failure('quota', { reason: 'QUOTA_EXCEEDED' });
    expect(afterFailure(healthy, spent, settings, NOW).restUntilMs).toBe(nextPacificMidnight(NOW));
  });

  it('honours Retry-After', () => {
    for (const fault of ['quota', 'overload', 'upstream'] as const) {
      const limited = failure(fault, { retryAfterMs: 7_000 });
      expect(restMs(afterFailure(healthy, limited, settings, NOW))).toBe(7_000);
    }
  });

  it('hands a refused credential or workspace id to a human, probed every 15 minutes', () => {
    for (const fault of ['credential', 'config'] as const) {
      const health = afterFailure(healthy, failure(fault), settings, NOW);
      expect(health.condition).toBe('needs_human');
      expect(mayServe(true, health, NOW + 15 * MINUTE - 1)).toBe(false);
      expect(mayServe(true, health, NOW + 15 * MINUTE)).toBe(true);
    }
  });

  it('gives a blocked account up', () => {
    const health = afterFailure(healthy, failure('blocked'), settings, NOW);
    expect(health.condition).toBe('dead');
    expect(mayServe(true, health, NOW + 365 * 24 * 60 * MINUTE)).toBe(false);
  });

  it('notes what happened, and begins the count anew with another fault', () => {
    const twice = afterFailure(
      afterFailure(healthy, failure('overload'), settings, NOW),
      failure('overload', { reason: 'LLM_OVERLOADED' }),
      settings,
      NOW + 1,
    );
    expect(twice).toMatchObject({ fault: 'overload', reason: 'LLM_OVERLOADED', failures: 2 });
    expect(afterFailure(twice, failure('upstream'), settings, NOW + 2).failures).toBe(1);
  });
});

describe('afterSuccess', () => {
  it('changes nothing for a healthy account', () => {
    expect(afterSuccess(healthy, NOW)).toBe(healthy);
  });

  it('forgets what was wrong', () => {
    const ill = afterFailure(healthy, failure('credential'), settings, NOW);
    expect(afterSuccess(ill, NOW + 1)).toEqual({ ...healthy, stateChangedAtMs: NOW + 1 });
  });
});

describe('accountState', () => {
  const young = { savedAtMs: NOW, expiresAtMs: null };
  const resting = { ...healthy, restUntilMs: NOW + 1 };

  it('puts the operator first, then the condition, then the rest, then the age', () => {
    expect(accountState(false, resting, young, NOW)).toBe('disabled');
    expect(accountState(true, { ...resting, condition: 'dead' }, young, NOW)).toBe('dead');
    expect(accountState(true, resting, young, NOW)).toBe('resting');
    expect(accountState(true, resting, young, NOW + 1)).toBe('fresh');
  });

  it('ages past 80 % of the known cookie life, else after 10 hours', () => {
    const known = { savedAtMs: NOW, expiresAtMs: NOW + 100 * MINUTE };
    expect(accountState(true, healthy, known, NOW + 79 * MINUTE)).toBe('fresh');
    expect(accountState(true, healthy, known, NOW + 80 * MINUTE)).toBe('ageing');
    expect(accountState(true, healthy, young, NOW + 599 * MINUTE)).toBe('fresh');
    expect(accountState(true, healthy, young, NOW + 600 * MINUTE)).toBe('ageing');
  });
});

describe('nextPacificMidnight', () => {
  it.each([
    ['in winter', '2026-11-25T12:00:00Z', '2026-11-26T08:00:00Z'],
    ['in summer', '2026-07-01T12:00:00Z', '2026-07-02T07:00:00Z'],
    ['just before', '2026-11-26T07:59:59.999Z', '2026-11-26T08:00:00Z'],
    ['just at', '2026-11-26T08:00:00Z', '2026-11-27T08:00:00Z'],
    ['on the day of 23 hours', '2026-03-08T08:30:00Z', '2026-03-09T07:00:00Z'],
    ['on the day of 25 hours', '2026-11-01T07:30:00Z', '2026-11-02T08:00:00Z'],
  ])('%s', (_, now, midnight) => {
    expect(new Date(nextPacificMidnight(Date.parse(now)))).toEqual(new Date(midnight));
  });
});
