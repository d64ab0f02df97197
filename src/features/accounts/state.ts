import type { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';

/**
 * The one truth on an account's health. Selection, commands and, later, the console, the metrics
 * and `/ready` read it from here and nowhere else. Pure: time comes in as an argument.
 */

export type AccountState =
  | 'fresh'
  | 'ageing'
  | 'resting'
  | 'renewing'
  | 'needs_human'
  | 'disabled'
  | 'dead';

/** Plain data: kept in process state and in the account's row. */
export interface Health {
  condition: 'ok' | 'needs_human' | 'dead';
  /** Not asked before this time. With `needs_human`: when it is probed again. */
  restUntilMs: number | null;
  /** The last failure; kept until the account serves again. */
  fault: Fault | null;
  reason: string | null;
  faultAtMs: number | null;
  /** Failures of that fault in a row. */
  failures: number;
  stateChangedAtMs: number;
}

export interface Failure {
  fault: Fault;
  status: number | null;
  reason: string | null;
  message: string;
  retryAfterMs: number | null;
}

export const healthy: Health = {
  condition: 'ok',
  restUntilMs: null,
  fault: null,
  reason: null,
  faultAtMs: null,
  failures: 0,
  stateChangedAtMs: 0,
};

const HOUR_MS = 3_600_000;
const AGEING_AFTER_MS = 10 * HOUR_MS;
const AGEING_SHARE = 0.8;
const QUOTA_FAILURES_UNTIL_MIDNIGHT = 4;

/** An answer without a word of text: another account may do better, but this one is not ill. */
export const EMPTY_ANSWER = 'EMPTY_ANSWER';

export interface CredentialAge {
  savedAtMs: number;
  expiresAtMs: number | null;
}

/** The state by the names of design 9. `renewing` comes with renewal. */
export function accountState(
  enabled: boolean,
  health: Health,
  age: CredentialAge,
  nowMs: number,
): AccountState {
  if (!enabled) return 'disabled';
  if (health.condition !== 'ok') return health.condition;
  if (health.restUntilMs !== null && health.restUntilMs > nowMs) return 'resting';
  const ageingAtMs =
    age.expiresAtMs === null
      ? age.savedAtMs + AGEING_AFTER_MS
      : age.savedAtMs + (age.expiresAtMs - age.savedAtMs) * AGEING_SHARE;
  return nowMs < ageingAtMs ? 'fresh' : 'ageing';
}

/** True if the account may be asked now; one that needs a human is asked when its probe is due. */
export function mayServe(enabled: boolean, health: Health, nowMs: number): boolean {
  if (!enabled || health.condition === 'dead') return false;
  return health.restUntilMs === null || health.restUntilMs <= nowMs;
}

/**
 * The health after a failure: who is to blame decides whether and how long the account rests.
 * The table of design 9 and protocol 17; a failure that is nobody's of this account changes nothing.
 */
export function afterFailure(
  health: Health,
  failure: Failure,
  settings: Settings,
  nowMs: number,
): Health {
  const failures = health.fault === failure.fault ? health.failures + 1 : 1;
  const noted = {
    ...health,
    fault: failure.fault,
    reason: failure.reason ?? failure.message,
    faultAtMs: nowMs,
    failures,
    stateChangedAtMs: nowMs,
  };
  const restFor = (ms: number) => ({ ...noted, restUntilMs: nowMs + Math.round(ms) });
  switch (failure.fault) {
    case 'overload':
      return restFor(
        failure.retryAfterMs ??
          doubled(settings.overloadRestMs, failures, settings.overloadRestMaxMs),
      );
    case 'quota':
      return { ...noted, restUntilMs: quotaRestUntil(failure, failures, settings, nowMs) };
    case 'egress':
    case 'truncated':
      return restFor(settings.faultRestMs);
    case 'upstream':
      return failure.reason === EMPTY_ANSWER
        ? health
        : restFor(failure.retryAfterMs ?? settings.faultRestMs);
    case 'credential':
    case 'config':
      return { ...restFor(settings.probeEveryMs), condition: 'needs_human' };
    case 'blocked':
      return { ...noted, condition: 'dead', restUntilMs: null };
    default:
      return health;
  }
}

function quotaRestUntil(
  failure: Failure,
  failures: number,
  settings: Settings,
  nowMs: number,
): number {
  if (failure.retryAfterMs !== null) return nowMs + failure.retryAfterMs;
  if (failure.reason === 'QUOTA_EXCEEDED' || failures >= QUOTA_FAILURES_UNTIL_MIDNIGHT) {
    return nextPacificMidnight(nowMs);
  }
  return nowMs + doubled(settings.quotaRestMs, failures, settings.quotaRestMaxMs);
}

function doubled(firstMs: number, failures: number, maxMs: number): number {
  return Math.min(firstMs * 2 ** (failures - 1), maxMs);
}

/** The health after an answer: whatever was wrong is over. */
export function afterSuccess(health: Health, nowMs: number): Health {
  const isClean = health.condition === 'ok' && health.fault === null && health.restUntilMs === null;
  return isClean ? health : { ...healthy, stateChangedAtMs: nowMs };
}

const pacificClock = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  hourCycle: 'h23',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
});

/** When the upstream's daily quotas start anew: the next midnight in Los Angeles. */
export function nextPacificMidnight(nowMs: number): number {
  const part = (timeMs: number, type: string) =>
    Number(pacificClock.formatToParts(timeMs).find((found) => found.type === type)?.value);
  const sinceMidnightMs = (timeMs: number) =>
    ((part(timeMs, 'hour') * 60 + part(timeMs, 'minute')) * 60 + part(timeMs, 'second')) * 1_000 +
    (timeMs % 1_000);
  // A day of the clock change has 23 or 25 hours: go near, then correct by the local clock.
  let midnight = nowMs - sinceMidnightMs(nowMs) + 24 * HOUR_MS;
  const offMs = sinceMidnightMs(midnight);
  if (offMs !== 0) midnight += offMs > 12 * HOUR_MS ? 24 * HOUR_MS - offMs : -offMs;
  return midnight;
}
