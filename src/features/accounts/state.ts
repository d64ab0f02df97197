import type { Settings } from '@/features/settings/schema';
import type { Fault, GeminiError } from '@/gemini/errors';

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
  /** The turn of the pool at that failure; tells what began before it. Of this process alone. */
  faultTurn: number;
  /** Failures of that fault, one after the other. */
  failures: number;
}

/** What of a `GeminiError` decides. */
export type Failure = Pick<GeminiError, 'fault' | 'reason' | 'message' | 'retryAfterMs'>;

/** One use of an account: its turn in the pool, and the pool's turn now that it has ended. */
export interface Use {
  turn: number;
  endTurn: number;
}

/** Nothing wrong, nothing known. */
export const healthy: Health = {
  condition: 'ok',
  restUntilMs: null,
  fault: null,
  reason: null,
  faultAtMs: null,
  faultTurn: 0,
  failures: 0,
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
 * The table of design 9 and protocol 17. Failures of uses that ran side by side count once, and a
 * rest is never shortened. What is nobody's of this account changes nothing.
 */
export function afterFailure(
  health: Health,
  failure: Failure,
  use: Use,
  settings: Settings,
  nowMs: number,
): Health {
  if (health.condition === 'dead') return health;
  if (health.condition === 'needs_human') return afterProbe(health, failure, use, settings, nowMs);
  const isRepeat = health.fault === failure.fault;
  const failures = !isRepeat ? 1 : health.failures + (use.turn > health.faultTurn ? 1 : 0);
  const noted = note(health, failure, failures, use, nowMs);
  if (failure.fault === 'blocked') return { ...noted, condition: 'dead', restUntilMs: null };
  if (failure.fault === 'credential' || failure.fault === 'config') {
    return { ...noted, condition: 'needs_human', restUntilMs: nowMs + settings.probeEveryMs };
  }
  const restUntilMs = restUntil(failure, failures, settings, nowMs);
  if (restUntilMs === null || restUntilMs <= (health.restUntilMs ?? 0)) return health;
  return { ...noted, restUntilMs: Math.round(restUntilMs) };
}

/** Only what a credential is to blame for keeps an account with the human; a limit proves it good. */
function afterProbe(
  health: Health,
  failure: Failure,
  use: Use,
  settings: Settings,
  nowMs: number,
): Health {
  switch (failure.fault) {
    case 'blocked':
    case 'credential':
    case 'config':
    case 'quota':
      return afterFailure(
        { ...health, condition: 'ok', restUntilMs: null },
        failure,
        use,
        settings,
        nowMs,
      );
    case 'request':
      return afterSuccess(health, use);
    default:
      return health;
  }
}

function note(health: Health, failure: Failure, failures: number, use: Use, nowMs: number): Health {
  return {
    ...health,
    fault: failure.fault,
    reason: failure.reason ?? failure.message,
    faultAtMs: nowMs,
    faultTurn: use.endTurn,
    failures,
  };
}

/** The end of the rest that a failure asks for; null: none. */
function restUntil(
  failure: Failure,
  failures: number,
  settings: Settings,
  nowMs: number,
): number | null {
  switch (failure.fault) {
    case 'overload':
      return (
        nowMs +
        (failure.retryAfterMs ??
          doubled(settings.overloadRestMs, failures, settings.overloadRestMaxMs))
      );
    case 'quota':
      return quotaRestUntil(failure, failures, settings, nowMs);
    case 'egress':
    case 'truncated':
      return nowMs + settings.faultRestMs;
    case 'upstream':
      if (failure.reason === EMPTY_ANSWER) return null;
      return nowMs + (failure.retryAfterMs ?? settings.faultRestMs);
    default:
      return null;
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

/**
 * The health after an answer: what was wrong is over, unless it went wrong after the answer began.
 * Nothing revives a dead account but the operator.
 */
export function afterSuccess(health: Health, use: Use): Health {
  const isClean = health.condition === 'ok' && health.fault === null && health.restUntilMs === null;
  if (isClean || health.condition === 'dead' || use.turn <= health.faultTurn) return health;
  return healthy;
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
