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
  type Use,
} from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';

const settings = Settings.parse({});
const NOW = Date.parse('2026-11-25T12:00:00Z');
const MINUTE = 60_000;

function failure(fault: Fault, more: Partial<Failure> = {}): Failure {
  return { fault, reason: null, message: 'it failed', retryAfterMs: null, ...more };
}

let turns = 0;

/** A use that began after everything so far. */
function nextUse(): Use {
  turns += 1;
  return { turn: turns, endTurn: turns };
}

function failed(health: Health, what: Failure, use = nextUse(), nowMs = NOW): Health {
  return afterFailure(health, what, use, settings, nowMs);
}

function restMs(health: Health): number | null {
  return health.restUntilMs === null ? null : health.restUntilMs - NOW;
}

describe('afterFailure', () => {
  it.each(['request', 'state', 'client_left', 'ours'] as const)('rests nobody for %s', (fault) => {
    expect(failed(healthy, failure(fault))).toBe(healthy);
  });

  it('does not rest an account whose answer was empty', () => {
    const empty = failure('upstream', { reason: EMPTY_ANSWER });
    expect(failed(healthy, empty)).toBe(healthy);
  });

  it('rests 5 s after a broken upstream, connection or answer', () => {
    for (const fault of ['upstream', 'egress', 'truncated'] as const) {
      expect(restMs(failed(healthy, failure(fault)))).toBe(5_000);
    }
  });

  it('doubles the rest after overload from 10 s to 5 min', () => {
    let health = healthy;
    const rests: (number | null)[] = [];
    for (let count = 0; count < 7; count++) {
      health = failed(health, failure('overload'));
      rests.push(restMs(health));
    }
    expect(rests).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  it('doubles the rest after a 429 without a reason, to Pacific midnight after the 4th', () => {
    let health = healthy;
    const rests: (number | null)[] = [];
    for (let count = 0; count < 4; count++) {
      health = failed(health, failure('quota'));
      rests.push(restMs(health));
    }
    expect(rests).toEqual([MINUTE, 2 * MINUTE, 4 * MINUTE, nextPacificMidnight(NOW) - NOW]);
  });

  it('rests to Pacific midnight when the daily quota is spent', () => {
    const spent = failure('quota', { reason: 'QUOTA_EXCEEDED' });
    expect(failed(healthy, spent).restUntilMs).toBe(nextPacificMidnight(NOW));
  });

  it('honours Retry-After', () => {
    for (const fault of ['quota', 'overload', 'upstream'] as const) {
      const limited = failure(fault, { retryAfterMs: 7_000 });
      expect(restMs(failed(healthy, limited))).toBe(7_000);
    }
  });

  it('hands a refused credential or workspace id to a human, probed every 15 minutes', () => {
    for (const fault of ['credential', 'config'] as const) {
      const health = failed(healthy, failure(fault));
      expect(health.condition).toBe('needs_human');
      expect(mayServe(true, health, NOW + 15 * MINUTE - 1)).toBe(false);
      expect(mayServe(true, health, NOW + 15 * MINUTE)).toBe(true);
    }
  });

  it('gives a blocked account up', () => {
    const health = failed(healthy, failure('blocked'));
    expect(health.condition).toBe('dead');
    expect(mayServe(true, health, NOW + 365 * 24 * 60 * MINUTE)).toBe(false);
  });

  it('notes what happened, and begins the count anew with another fault', () => {
    const once = failed(healthy, failure('overload'));
    const twice = failed(once, failure('overload', { reason: 'LLM_OVERLOADED' }));
    expect(twice).toMatchObject({ fault: 'overload', reason: 'LLM_OVERLOADED', failures: 2 });
    const other = failed(twice, failure('upstream'), nextUse(), NOW + MINUTE);
    expect(other).toMatchObject({ fault: 'upstream', failures: 1 });
  });

  it('counts failures of uses that ran side by side once', () => {
    const uses = [1, 2, 3, 4].map((turn) => ({ turn: turns + turn, endTurn: turns + 4 }));
    turns += 4;
    let health = healthy;
    for (const use of uses) health = failed(health, failure('quota'), use);
    expect(health.failures).toBe(1);
    expect(restMs(health)).toBe(MINUTE);
    expect(failed(health, failure('quota')).failures).toBe(2);
  });

  it('never shortens a rest', () => {
    const spent = failed(healthy, failure('quota', { reason: 'QUOTA_EXCEEDED' }));
    expect(failed(spent, failure('upstream'))).toBe(spent);
  });

  it('leaves an account with the human for all but what proves its credential good', () => {
    const ill = failed(healthy, failure('credential', { reason: 'EXPIRED_SIGN_IN' }));
    for (const fault of ['upstream', 'egress', 'overload', 'truncated', 'state'] as const) {
      expect(failed(ill, failure(fault))).toBe(ill);
    }
    expect(failed(ill, failure('request'))).toEqual(healthy);
    const limited = failed(ill, failure('quota'));
    expect(limited).toMatchObject({ condition: 'ok', fault: 'quota' });
    expect(restMs(limited)).toBe(MINUTE);
    expect(failed(ill, failure('blocked')).condition).toBe('dead');
  });
});

describe('afterSuccess', () => {
  it('changes nothing for a healthy account', () => {
    expect(afterSuccess(healthy, nextUse())).toBe(healthy);
  });

  it('forgets what was wrong', () => {
    const ill = failed(healthy, failure('credential'));
    expect(afterSuccess(ill, nextUse())).toEqual(healthy);
  });

  it('says nothing of what went wrong after the answer had begun', () => {
    const early = nextUse();
    const spent = failed(healthy, failure('quota', { reason: 'QUOTA_EXCEEDED' }));
    expect(afterSuccess(spent, early)).toBe(spent);
  });

  it('never revives a dead account', () => {
    const dead = failed(healthy, failure('blocked'));
    expect(afterSuccess(dead, nextUse())).toBe(dead);
    expect(failed(dead, failure('quota'))).toBe(dead);
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
