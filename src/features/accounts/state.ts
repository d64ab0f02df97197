import { nextPacificMidnight } from '@/features/accounts/pacific-day';
import {
  EMPTY_ANSWER,
  type Failure,
  isDailyQuota,
  restMsOf,
  restRuleOf,
} from '@/features/accounts/rest-rules';
import type { Settings } from '@/features/settings/schema';
import type { Fault } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';

/**
 * The one truth on an account's health. Selection, commands, `/ready` and, later, the console and
 * the metrics read it from here and nowhere else. Pure: time comes in as an argument.
 */

/** How an account may stand, by the names of design 9, from the best to the worst. */
export const accountStates = [
  'fresh',
  'ageing',
  'resting',
  'renewing',
  'needs_human',
  'disabled',
  'dead',
] as const;

export type AccountState = (typeof accountStates)[number];

/**
 * Why one kind of use rests. It stays when the rest is over, until a use succeeds: meanwhile the
 * account is half open, and one request at a time probes it.
 */
export interface Rest {
  /** Not asked before this time. With `needs_human`: when it is probed again. Null: no time. */
  untilMs: number | null;
  /** The end is that of a day, and not so and so long after the failure. */
  daily: boolean;
  fault: Fault;
  /** Failures of that fault, one after the other. */
  failures: number;
  /** The turn of the pool at the last of them; tells what began before it. Of this process alone. */
  turn: number;
}

/** Plain data: kept in process state and in the account's row. */
export interface Health {
  condition: 'ok' | 'needs_human' | 'dead';
  /** By kind. Every request is a text query, too: while that rests, the whole account does. */
  rests: Readonly<Partial<Record<QuotaKind, Rest>>>;
  /** The last failure; kept until the account serves again. */
  fault: Fault | null;
  reason: string | null;
  faultAtMs: number | null;
}

/** One use of an account: for what, its turn in the pool, and the pool's turn now that it ended. */
export interface Use {
  kind: QuotaKind;
  turn: number;
  endTurn: number;
}

/** Nothing wrong, nothing known. */
export const healthy: Health = {
  condition: 'ok',
  rests: {},
  fault: null,
  reason: null,
  faultAtMs: null,
};

const AGEING_AFTER_MS = 10 * 3_600_000;
const AGEING_SHARE = 0.8;

/** When the cookies came, and until when they are good, where that is known. */
export interface CredentialAge {
  savedAtMs: number;
  expiresAtMs: number | null;
}

/**
 * The state by the names of design 9; `restUntilMs` is when all rests and spent quotas that keep it
 * from every use are over. `renewing` comes with renewal.
 */
export function accountState(
  enabled: boolean,
  health: Health,
  restUntilMs: number,
  age: CredentialAge,
  nowMs: number,
): AccountState {
  if (!enabled) return 'disabled';
  if (health.condition !== 'ok') return health.condition;
  if (restUntilMs > nowMs) return 'resting';
  const ageingAtMs =
    age.expiresAtMs === null
      ? age.savedAtMs + AGEING_AFTER_MS
      : age.savedAtMs + (age.expiresAtMs - age.savedAtMs) * AGEING_SHARE;
  return nowMs < ageingAtMs ? 'fresh' : 'ageing';
}

/** The end of the rest that a use of `kind` has to wait for; 0 if there is none. */
export function restEndMs({ rests }: Health, kind: QuotaKind): number {
  return Math.max(rests.text?.untilMs ?? 0, rests[kind]?.untilMs ?? 0);
}

/**
 * From when on an account may be asked for `kind`; null: not by itself. One that needs a human is
 * asked when its probe is due.
 */
export function askableFromMs(enabled: boolean, health: Health, kind: QuotaKind): number | null {
  return !enabled || health.condition === 'dead' ? null : restEndMs(health, kind);
}

/** Whether the account has yet to prove that it can serve `kind` again: by one request at a time. */
export function isHalfOpen({ rests }: Health, kind: QuotaKind): boolean {
  return rests.text !== undefined || rests[kind] !== undefined;
}

/**
 * The health after a failure: the rule of its fault decides whether, what and how long the account
 * rests. Failures of uses that ran side by side count once, and a rest is never shortened. `random`
 * is from 0 to 1.
 */
export function afterFailure(
  health: Health,
  failure: Failure,
  use: Use,
  settings: Settings,
  nowMs: number,
  random: number,
): Health {
  const rule = restRuleOf(failure);
  if (health.condition === 'dead') return health;
  if (health.condition === 'needs_human' && !isProof(failure)) {
    return rule ? probedAgain(health, nowMs + settings.probeEveryMs) : health;
  }
  const { text: _, ...others } = health.rests;
  const known: Health['rests'] = health.condition === 'ok' ? health.rests : others;
  if (!rule) {
    // What the upstream says of the request alone shows that the probed account works.
    const isProbe = health.condition !== 'ok' || restEndMs(health, use.kind) <= nowMs;
    return isProbe && isProof(failure) ? afterSuccess(health, use) : health;
  }
  const kind = rule.rests === 'kind' ? use.kind : 'text';
  const rest = known[kind];
  const isSideBySide = rest !== undefined && use.turn <= rest.turn;
  const failures = rest?.fault !== failure.fault ? 1 : rest.failures + (isSideBySide ? 0 : 1);
  const daily = isDailyQuota(failure, kind, failures);
  const restMs = restMsOf(rule, failure, failures, settings, random);
  const untilMs = daily ? nextPacificMidnight(nowMs) : restMs === null ? null : nowMs + restMs;
  const condition = rule.condition ?? 'ok';
  if (condition === 'ok' && (untilMs ?? 0) <= (rest?.untilMs ?? 0)) return health;
  const { fault, reason, message } = failure;
  return {
    condition,
    rests: { ...known, [kind]: { untilMs, daily, fault, failures, turn: use.endTurn } },
    fault,
    reason: reason ?? message,
    faultAtMs: nowMs,
  };
}

/** Whether a failure says something of the credential: refused again, or good since it got further. */
function isProof({ fault, reason }: Failure): boolean {
  return (
    reason === EMPTY_ANSWER ||
    ['blocked', 'credential', 'config', 'quota', 'request'].includes(fault)
  );
}

/** The health after a probe that proved nothing: the next one comes as late as after a refusal. */
function probedAgain(health: Health, untilMs: number): Health {
  const { text } = health.rests;
  if (!text || (text.untilMs ?? 0) >= untilMs) return health;
  return { ...health, rests: { ...health.rests, text: { ...text, untilMs } } };
}

/**
 * The health after an answer: what was wrong with that kind of use is over, unless it went wrong
 * after the answer began. Nothing revives a dead account but the operator.
 */
export function afterSuccess(health: Health, use: Use): Health {
  if (health.condition === 'dead') return health;
  const { text, [use.kind]: own } = health.rests;
  const isNews = (rest: Rest | undefined) => rest !== undefined && use.turn > rest.turn;
  if (!isNews(text) && !isNews(own)) return health;
  const rests = { ...health.rests };
  if (isNews(text)) delete rests.text;
  if (isNews(own)) delete rests[use.kind];
  return rests.text ? { ...health, rests } : { ...healthy, rests };
}

/** The health without what a failure brought but for the doubt: half open, since others may be to blame. */
export function pardoned(health: Health): Health {
  const { text } = health.rests;
  if (!text || health.condition === 'dead') return health;
  const rests = { ...health.rests, text: { ...text, untilMs: null } };
  return { ...health, condition: 'ok', rests };
}

/**
 * A health in which the rests last as long as before, after the clock was set by `jumpMs` to
 * `nowMs`; those of a day end with this one at the latest.
 */
export function afterClockJump(health: Health, jumpMs: number, nowMs: number): Health {
  const entries = Object.entries(health.rests);
  if (entries.length === 0) return health;
  const move = ({ untilMs, daily }: Rest) => {
    if (untilMs === null) return null;
    return daily ? Math.min(untilMs, nextPacificMidnight(nowMs)) : untilMs + jumpMs;
  };
  const rests = entries.map(([kind, rest]) => [kind, { ...rest, untilMs: move(rest) }]);
  return { ...health, rests: Object.fromEntries(rests) };
}

/**
 * The health after the operator's test has succeeded: the account is what it was before it failed.
 * Limits stay, unless the test has `answered` a question.
 */
export function afterTest({ rests }: Health, answered: boolean): Health {
  const left = Object.entries(rests).filter(
    ([kind, { fault }]) =>
      (fault === 'quota' || fault === 'overload') && !(answered && kind === 'text'),
  );
  return { ...healthy, rests: Object.fromEntries(left) };
}
