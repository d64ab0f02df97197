import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextPacificMidnight } from '@/features/accounts/pacific-day';
import { EMPTY_ANSWER, type Failure } from '@/features/accounts/rest-rules';
import {
  accountState,
  afterClockJump,
  afterFailure,
  afterSuccess,
  askableFromMs,
  type Health,
  healthy,
  isHalfOpen,
  pardoned,
  restEndMs,
  type Use,
} from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';
import { type QuotaKind, quotaKinds } from '@/gemini/tools';

const settings = Settings.parse({});
const NOW = Date.parse('2026-11-25T12:00:00Z');
const MIDNIGHT = nextPacificMidnight(NOW);
const MINUTE = 60_000;

function failure(fault: Fault, more: Partial<Failure> = {}): Failure {
  return { fault, status: null, reason: null, message: 'it failed', retryAfterMs: null, ...more };
}

const spent = failure('quota', { reason: 'QUOTA_EXCEEDED' });

let turns = 0;

/** A use that began after everything so far. */
function nextUse(kind: QuotaKind = 'text'): Use {
  turns += 1;
  return { kind, turn: turns, endTurn: turns };
}

function failed(health: Health, what: Failure, use = nextUse(), nowMs = NOW): Health {
  return afterFailure(health, what, use, settings, nowMs, 0);
}

function restMs(health: Health, kind: QuotaKind = 'text'): number {
  return Math.max(0, restEndMs(health, kind) - NOW);
}

function restsInARow(what: Failure, count: number): number[] {
  let health = healthy;
  return Array.from({ length: count }, () => {
    health = failed(health, what);
    return restMs(health);
  });
}

describe('afterFailure', () => {
  it.each(['request', 'client_left', 'ours'] as const)('rests nobody for %s', (fault) => {
    expect(failed(healthy, failure(fault))).toBe(healthy);
  });

  it('does not rest an account whose answer was empty', () => {
    expect(failed(healthy, failure('upstream', { reason: EMPTY_ANSWER }))).toBe(healthy);
  });

  it.each(['upstream', 'egress', 'truncated', 'state'] as const)(
    'doubles the rest of the whole account after %s from 5 s',
    (fault) => {
      expect(restsInARow(failure(fault), 3)).toEqual([5_000, 10_000, 20_000]);
      const health = failed(healthy, failure(fault), nextUse('images'));
      expect(quotaKinds.map((kind) => restMs(health, kind))).toEqual([5_000, 5_000, 5_000]);
    },
  );

  it('doubles the rest after a 429 without a reason, to Pacific midnight after the 4th', () => {
    const rests = [MINUTE, 2 * MINUTE, 4 * MINUTE, MIDNIGHT - NOW];
    expect(restsInARow(failure('quota'), 4)).toEqual(rests);
  });

  it('rests to Pacific midnight when the daily quota is spent', () => {
    expect(failed(healthy, spent).rests.text).toMatchObject({ untilMs: MIDNIGHT, daily: true });
  });

  it('rests images alone to Pacific midnight after any 429 on images', () => {
    const health = failed(healthy, failure('quota'), nextUse('images'));
    expect(restEndMs(health, 'images')).toBe(MIDNIGHT);
    expect([restMs(health, 'text'), restMs(health, 'videos')]).toEqual([0, 0]);
  });

  it('rests everything with text, since every request is a text query, too', () => {
    const health = failed(healthy, failure('overload'));
    expect(quotaKinds.map((kind) => restMs(health, kind))).toEqual([10_000, 10_000, 10_000]);
  });

  it('honours Retry-After, also on images', () => {
    const limited = failure('quota', { retryAfterMs: 7_000 });
    expect(restMs(failed(healthy, limited))).toBe(7_000);
    const images = failed(healthy, limited, nextUse('images'));
    expect(images.rests).toMatchObject({ images: { untilMs: NOW + 7_000, daily: false } });
  });

  it.each(['credential', 'config'] as const)(
    'hands an account to a human for %s, probed every 15 minutes',
    (fault) => {
      const health = failed(healthy, failure(fault));
      expect(health.condition).toBe('needs_human');
      expect(askableFromMs(true, health, 'text')).toBe(NOW + 15 * MINUTE);
      const probed = failed(health, failure(fault), nextUse(), NOW + 20 * MINUTE);
      expect(askableFromMs(true, probed, 'images')).toBe(NOW + 35 * MINUTE);
    },
  );

  it('gives a blocked account up', () => {
    const health = failed(healthy, failure('blocked'));
    expect(health.condition).toBe('dead');
    expect(askableFromMs(true, health, 'text')).toBeNull();
  });

  it('notes what happened, and begins the count anew with another fault', () => {
    const once = failed(healthy, failure('overload'));
    expect(once).toMatchObject({ reason: 'it failed', faultAtMs: NOW });
    const twice = failed(once, failure('overload', { reason: 'LLM_OVERLOADED' }));
    expect(twice).toMatchObject({ fault: 'overload', reason: 'LLM_OVERLOADED' });
    expect(twice.rests.text?.failures).toBe(2);
    const other = failed(twice, failure('upstream'), nextUse(), NOW + MINUTE);
    expect(other).toMatchObject({ fault: 'upstream', rests: { text: { failures: 1 } } });
  });

  it('counts failures of uses that ran side by side once', () => {
    const uses = [1, 2, 3, 4].map((turn): Use => {
      return { kind: 'text', turn: turns + turn, endTurn: turns + 4 };
    });
    turns += 4;
    let health = healthy;
    for (const use of uses) health = failed(health, failure('quota'), use);
    expect(health.rests.text?.failures).toBe(1);
    expect(restMs(health)).toBe(MINUTE);
    expect(failed(health, failure('quota')).rests.text?.failures).toBe(2);
  });

  it('never shortens a rest', () => {
    const health = failed(healthy, spent);
    expect(failed(health, failure('upstream'))).toBe(health);
  });

  it('keeps what rests beside', () => {
    const images = failed(healthy, spent, nextUse('images'));
    const both = failed(images, failure('overload'), nextUse('videos'));
    expect([restMs(both, 'images'), restMs(both, 'videos')]).toEqual([MIDNIGHT - NOW, 10_000]);
  });
});

describe('an account with the human', () => {
  const ill = failed(healthy, failure('credential', { reason: 'EXPIRED_SIGN_IN' }));

  it.each(['upstream', 'egress', 'overload', 'truncated', 'state', 'client_left'] as const)(
    'stays there after %s, which says nothing of the credential',
    (fault) => expect(failed(ill, failure(fault))).toBe(ill),
  );

  it('is well after a refused request: the credential was good', () => {
    expect(failed(ill, failure('request'))).toEqual(healthy);
  });

  it('only rests after a limit: the credential was good', () => {
    const limited = failed(ill, failure('quota'));
    expect(limited).toMatchObject({ condition: 'ok', fault: 'quota' });
    expect(restMs(limited)).toBe(MINUTE);
    const noImages = failed(ill, failure('quota'), nextUse('images'));
    expect([noImages.condition, restMs(noImages)]).toEqual(['ok', 0]);
  });

  it('is dead once it is blocked', () => {
    expect(failed(ill, failure('blocked')).condition).toBe('dead');
  });

  it('keeps the rests of other kinds through its probes', () => {
    const noImages = failed(healthy, spent, nextUse('images'));
    const refused = failed(noImages, failure('credential'));
    const probed = failed(refused, failure('credential'), nextUse(), NOW + 15 * MINUTE);
    expect(afterSuccess(probed, nextUse()).rests).toEqual(noImages.rests);
    const limited = failed(refused, failure('quota'));
    expect(restEndMs(limited, 'images')).toBe(MIDNIGHT);
  });

  it('keeps its reason when an older use of another kind succeeds', () => {
    const noImages = failed(healthy, failure('overload'), nextUse('images'));
    const older = nextUse('images');
    const refused = failed(noImages, failure('credential', { reason: 'EXPIRED_SIGN_IN' }));
    const after = afterSuccess(refused, older);
    expect(after).toMatchObject({ condition: 'needs_human', reason: 'EXPIRED_SIGN_IN' });
    expect(Object.keys(after.rests)).toEqual(['text']);
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

  it('of images proves that text is good, too, but not the other way round', () => {
    const overloaded = failed(healthy, failure('upstream'));
    expect(afterSuccess(overloaded, nextUse('images'))).toEqual(healthy);
    const noImages = failed(healthy, spent, nextUse('images'));
    expect(afterSuccess(noImages, nextUse('text'))).toBe(noImages);
    expect(afterSuccess(noImages, nextUse('videos'))).toBe(noImages);
    expect(afterSuccess(noImages, nextUse('images'))).toEqual(healthy);
  });

  it('says nothing of what went wrong after the answer had begun', () => {
    const early = nextUse();
    const health = failed(healthy, spent);
    expect(afterSuccess(health, early)).toBe(health);
  });

  it('never revives a dead account', () => {
    const dead = failed(healthy, failure('blocked'));
    expect(afterSuccess(dead, nextUse())).toBe(dead);
    expect(failed(dead, failure('quota'))).toBe(dead);
  });
});

describe('half open', () => {
  it('lasts from the rest to the next success', () => {
    const health = failed(healthy, failure('overload'));
    expect(isHalfOpen(health, 'text')).toBe(true);
    expect(isHalfOpen(health, 'images')).toBe(true);
    expect(isHalfOpen(afterSuccess(health, nextUse()), 'text')).toBe(false);
  });

  it('is only the kind that rested', () => {
    const health = failed(healthy, failure('overload'), nextUse('images'));
    expect([isHalfOpen(health, 'images'), isHalfOpen(health, 'text')]).toEqual([true, false]);
  });

  it('is what is left of a rest without its wait', () => {
    const health = pardoned(failed(healthy, failure('upstream')));
    expect([restMs(health), isHalfOpen(health, 'text')]).toEqual([0, true]);
    expect(failed(health, failure('upstream')).rests.text?.failures).toBe(2);
  });

  it('is what a pardon leaves of a refusal, but not of a ban', () => {
    const refused = pardoned(failed(healthy, failure('credential')));
    expect(refused.condition).toBe('ok');
    expect(restEndMs(refused, 'text')).toBe(0);
    expect(isHalfOpen(refused, 'text')).toBe(true);
    const dead = failed(healthy, failure('blocked'));
    expect(pardoned(dead)).toBe(dead);
    expect(pardoned(healthy)).toBe(healthy);
  });
});

describe('afterClockJump', () => {
  it('moves the ends of rests, but not those of days', () => {
    const both = failed(failed(healthy, spent, nextUse('images')), failure('overload'));
    const moved = afterClockJump(both, -MINUTE, NOW);
    expect(restEndMs(moved, 'text')).toBe(NOW + 10_000 - MINUTE);
    expect(restEndMs(moved, 'images')).toBe(MIDNIGHT);
  });

  it('changes nothing where no rest has an end', () => {
    const dead = failed(healthy, failure('blocked'));
    expect(afterClockJump(healthy, MINUTE, NOW)).toBe(healthy);
    expect(afterClockJump(dead, MINUTE, NOW)).toEqual(dead);
  });

  it('ends a rest of a day with this day, also if it began under a clock far ahead', () => {
    const later = NOW + 30 * 24 * 60 * MINUTE;
    const ill = failed(healthy, spent, nextUse(), later);
    expect(restEndMs(afterClockJump(ill, NOW - later, NOW), 'text')).toBe(MIDNIGHT);
  });
});

describe('accountState', () => {
  const young = { savedAtMs: NOW, expiresAtMs: null };

  it('puts the operator first, then the condition, then the rest, then the age', () => {
    const dead: Health = { ...healthy, condition: 'dead' };
    expect(accountState(false, dead, NOW + 1, young, NOW)).toBe('disabled');
    expect(accountState(true, dead, NOW + 1, young, NOW)).toBe('dead');
    expect(accountState(true, healthy, NOW + 1, young, NOW)).toBe('resting');
    expect(accountState(true, healthy, NOW + 1, young, NOW + 1)).toBe('fresh');
  });

  it('ages past 80 % of the known cookie life, else after 10 hours', () => {
    const known = { savedAtMs: NOW, expiresAtMs: NOW + 100 * MINUTE };
    const stateAt = (age: typeof young | typeof known, minutes: number) =>
      accountState(true, healthy, 0, age, NOW + minutes * MINUTE);
    expect([stateAt(known, 79), stateAt(known, 80)]).toEqual(['fresh', 'ageing']);
    expect([stateAt(young, 599), stateAt(young, 600)]).toEqual(['fresh', 'ageing']);
  });
});

it('keeps its promises whatever happens in whatever order', () => {
  const faults: Fault[] = ['request', 'credential', 'config', 'blocked', 'state', 'quota'];
  faults.push('overload', 'egress', 'upstream', 'truncated', 'client_left', 'ours');
  const event = fc.record({
    kind: fc.constantFrom(...quotaKinds),
    // How long before now it began, in turns.
    age: fc.integer({ min: 0, max: 3 }),
    fault: fc.option(fc.constantFrom(...faults)),
    reason: fc.option(fc.constantFrom('QUOTA_EXCEEDED', EMPTY_ANSWER)),
    retryAfterMs: fc.option(fc.integer({ min: 1_000, max: 9_000 })),
    passedMs: fc.integer({ min: 0, max: 10 * MINUTE }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let health = healthy;
      let nowMs = NOW;
      let turn = 0;
      for (const { kind, age, fault, reason, retryAfterMs, passedMs } of events) {
        nowMs += passedMs;
        turn += 1;
        const use = { kind, turn: Math.max(1, turn - age), endTurn: turn };
        const before = health;
        health = fault
          ? failed(before, failure(fault, { reason, retryAfterMs }), use, nowMs)
          : afterSuccess(before, use);
        if (before.condition === 'dead') expect(health).toBe(before);
        // A failure never makes an account askable sooner, unless it shows that the credential is good.
        if (fault && before.condition === 'ok' && health.condition === 'ok') {
          for (const each of quotaKinds) {
            const endMs = restEndMs(before, each);
            if (endMs > nowMs) expect(restEndMs(health, each)).toBeGreaterThanOrEqual(endMs);
          }
        }
        if (health.condition === 'needs_human') expect(health.rests.text?.untilMs).not.toBeNull();
        if (health.condition !== 'ok') expect(health.fault).not.toBeNull();
      }
    }),
  );
});
