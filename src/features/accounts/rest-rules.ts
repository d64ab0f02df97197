import type { Settings } from '@/features/settings/schema';
import type { Fault, GeminiError } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';

/** What of a `GeminiError` decides. */
export type Failure = Pick<GeminiError, 'fault' | 'status' | 'reason' | 'message' | 'retryAfterMs'>;

/** The settings that are times. */
type Wait = {
  [Name in keyof Settings]: Settings[Name] extends number ? Name : never;
}[keyof Settings];

/** What one fault means for the account on which it happened. */
export interface RestRule {
  /** `kind`: only what the request was for rests, such as images. */
  rests: 'account' | 'kind';
  /** What becomes of the account, beside the rest. */
  condition?: 'needs_human' | 'dead';
  /** The first rest, and the longest to which repeats double it. Without: no end of its own. */
  firstMs?: Wait;
  maxMs?: Wait;
}

/** An answer without a word of text: another account may do better, but this one is not ill. */
export const EMPTY_ANSWER = 'EMPTY_ANSWER';
/** What an answer has made could not be fetched or is no medium: it was made, and it has cost. */
export const MEDIA_LOST = 'MEDIA_LOST';
/** The time for all tries was over; the account that was asked last may have had no time at all. */
export const DEADLINE = 'DEADLINE';

/** Reasons that speak against no account, whatever the fault; the last is about the prompt alone. */
const blamelessReasons: ReadonlySet<string> = new Set([
  EMPTY_ANSWER,
  MEDIA_LOST,
  DEADLINE,
  'NON_ASSIST_SEEKING_QUERY_IGNORED',
]);

/**
 * The outcome of every fault for its account (design 9, protocol 17.1): null is nobody's of this
 * account. A missing session (`state`) counts only once a new one was missing, too.
 */
export const restRules: Readonly<Record<Fault, RestRule | null>> = {
  request: null,
  credential: { rests: 'account', condition: 'needs_human', firstMs: 'probeEveryMs' },
  config: { rests: 'account', condition: 'needs_human', firstMs: 'probeEveryMs' },
  blocked: { rests: 'account', condition: 'dead' },
  state: { rests: 'account', firstMs: 'faultRestMs', maxMs: 'faultRestMaxMs' },
  quota: { rests: 'kind', firstMs: 'quotaRestMs', maxMs: 'quotaRestMaxMs' },
  overload: { rests: 'kind', firstMs: 'overloadRestMs', maxMs: 'overloadRestMaxMs' },
  egress: { rests: 'account', firstMs: 'faultRestMs', maxMs: 'faultRestMaxMs' },
  upstream: { rests: 'account', firstMs: 'faultRestMs', maxMs: 'faultRestMaxMs' },
  truncated: { rests: 'account', firstMs: 'faultRestMs', maxMs: 'faultRestMaxMs' },
  client_left: null,
  ours: null,
};

/** Faults that the content of a request may bring about, on whatever account it is tried. */
export const faultsOfContent: ReadonlySet<Fault> = new Set(['upstream', 'truncated', 'state']);

const QUOTA_FAILURES_UNTIL_MIDNIGHT = 4;
/** Repeats rest up to so much longer, at random, so that accounts do not come back all at once. */
const JITTER_SHARE = 0.2;

/** The rule for a failure; null if the account is not to blame. */
export function restRuleOf({ fault, reason }: Failure): RestRule | null {
  return reason !== null && blamelessReasons.has(reason) ? null : restRules[fault];
}

/**
 * Whether a refusal is that of a daily quota (protocol 17.1): named so, of a medium, which has no
 * other limit, or the fourth in a row without a reason.
 */
export function isDailyQuota(failure: Failure, kind: QuotaKind, failures: number): boolean {
  if (failure.fault !== 'quota' || failure.retryAfterMs !== null) return false;
  return (
    failure.reason === 'QUOTA_EXCEEDED' ||
    kind !== 'text' ||
    failures >= QUOTA_FAILURES_UNTIL_MIDNIGHT
  );
}

/**
 * How long the account rests after its `failures`th failure in a row: what the upstream asks for,
 * else doubling, repeats with jitter. `random` is from 0 to 1.
 */
export function restMsOf(
  rule: RestRule,
  failure: Failure,
  failures: number,
  settings: Settings,
  random: number,
): number | null {
  if (failure.retryAfterMs !== null && !rule.condition) return failure.retryAfterMs;
  if (!rule.firstMs) return null;
  const firstMs = settings[rule.firstMs];
  if (!rule.maxMs) return firstMs;
  const restMs = Math.min(firstMs * 2 ** (failures - 1), settings[rule.maxMs]);
  return Math.round(failures > 1 ? restMs * (1 + JITTER_SHARE * random) : restMs);
}
