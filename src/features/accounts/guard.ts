import {
  type Failure,
  faultsOfContent,
  isDailyQuota,
  restRuleOf,
} from '@/features/accounts/rest-rules';
import type { GeminiError } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';

/**
 * The pool guard: the same failure on several accounts, with no success in between, is not theirs.
 * The exit address is limited, the proxy or the upstream is down, or one model is overloaded. The
 * guard of what they share then opens: nobody is blamed any more, and single requests probe it, less
 * and less often, until one succeeds. Pure: time comes in as an argument.
 */

/** What failing accounts may have in common: an exit address, a model, or the upstream as such. */
export type Scope = `exit ${string}` | `model ${string}` | 'upstream';

/** What is known of one scope: failures in a row, and whether it is shut. */
export interface Guard {
  /** What the failures have in common. */
  signature: string;
  accounts: string[];
  /** The requests that failed; one alone may be to blame itself. */
  requests: string[];
  sinceMs: number;
  /** Not null: open since that failure. */
  open: { failure: GeminiError; probeAtMs: number; waitMs: number } | null;
}

/** By scope; a scope that works is not in it. */
export type Guards = Map<Scope, Guard>;

const ACCOUNTS_TO_OPEN = 3;
/** Of faults that the content of a single request may bring about. */
const REQUESTS_TO_OPEN = 2;
const WINDOW_MS = 60_000;
const FIRST_PROBE_AFTER_MS = 1_000;
const MAX_PROBE_AFTER_MS = 10_000;

/** The parts of the world that a request on an account goes through. */
export interface Way {
  exit: string;
  modelId: string;
  kind: QuotaKind;
}

/** What a failure has in common with others, and with which. */
export interface Suspect {
  scope: Scope;
  signature: string;
}

/** What else but the account a failure may be due to; null if it is the account's for sure. */
export function suspectOf(failure: Failure, way: Way): Suspect | null {
  const { fault, status, reason } = failure;
  if (!restRuleOf(failure)) return null;
  const exit: Scope = `exit ${way.exit}`;
  switch (fault) {
    case 'egress':
      return { scope: exit, signature: `egress ${reason}` };
    case 'quota':
      // A daily quota or a time is meant for the account; a bare 429 may be meant for the address.
      if (failure.retryAfterMs !== null || isDailyQuota(failure, way.kind, 1)) return null;
      return { scope: exit, signature: 'quota' };
    case 'credential':
      // The key host turned us away without a word of the sign-in: so do proxies and limited addresses.
      if (status !== 403 && reason !== 'NO_KEY') return null;
      return { scope: exit, signature: `credential ${status ?? reason}` };
    case 'overload':
      // The key host knows of no model.
      return reason === 'LLM_OVERLOADED'
        ? { scope: `model ${way.modelId}`, signature: 'overload' }
        : { scope: exit, signature: 'overload' };
    case 'upstream':
      return {
        scope: status === 403 ? exit : 'upstream',
        signature: `upstream ${status ?? reason}`,
      };
    case 'truncated':
      return { scope: 'upstream', signature: 'truncated' };
    case 'state':
      return { scope: `model ${way.modelId}`, signature: 'state' };
    default:
      return null;
  }
}

/** What has failed. */
export interface Failed {
  accountId: string;
  requestId: string;
  /** Whether the account had served, or was not known to fail, before. */
  wasWell: boolean;
}

/**
 * Takes note of a failure.
 * @returns `open` if the guard was open already, `opened` if this failure opened it: in both the
 *   account is not to blame. `closed` if it is.
 */
export function noteFailure(
  guards: Guards,
  suspect: Suspect,
  { accountId, requestId, wasWell }: Failed,
  failure: GeminiError,
  nowMs: number,
): 'closed' | 'opened' | 'open' {
  const { scope, signature } = suspect;
  const known = guards.get(scope);
  if (known?.open) return 'open';
  const isSame = known?.signature === signature && nowMs - known.sinceMs < WINDOW_MS;
  const guard = isSame ? known : newGuard(signature, nowMs);
  guards.set(scope, guard);
  // That an account which was ill already fails again is no news of the others.
  if (wasWell && !guard.accounts.includes(accountId)) guard.accounts.push(accountId);
  if (!guard.requests.includes(requestId)) guard.requests.push(requestId);
  const isAlone = faultsOfContent.has(failure.fault) && guard.requests.length < REQUESTS_TO_OPEN;
  if (isAlone || guard.accounts.length < ACCOUNTS_TO_OPEN) return 'closed';
  guard.open = { failure, probeAtMs: nowMs + FIRST_PROBE_AFTER_MS, waitMs: FIRST_PROBE_AFTER_MS };
  return 'opened';
}

function newGuard(signature: string, nowMs: number): Guard {
  return { signature, accounts: [], requests: [], sinceMs: nowMs, open: null };
}

/**
 * Takes note of an answer that came by `way`: all that it went through works.
 * @returns the scopes that were open
 */
export function noteSuccess(guards: Guards, way: Omit<Way, 'kind'>): Scope[] {
  if (guards.size === 0) return [];
  const scopes: Scope[] = ['upstream', `exit ${way.exit}`, `model ${way.modelId}`];
  const open = scopes.filter((scope) => guards.get(scope)?.open);
  for (const scope of scopes) guards.delete(scope);
  return open;
}

/** Whether any guard is open. */
export function isAnyOpen(guards: Guards): boolean {
  for (const { open } of guards.values()) if (open) return true;
  return false;
}

/** When the next probe may go through `scope`; 0 if everything may. */
export function probeAtMs(guards: Guards, scope: Scope): number {
  return guards.get(scope)?.open?.probeAtMs ?? 0;
}

/** Takes the probe that is due: the next may come later, also if this one is never heard of again. */
export function takeProbe(guards: Guards, scope: Scope, nowMs: number): void {
  const open = guards.get(scope)?.open;
  if (!open) return;
  open.waitMs = Math.min(2 * open.waitMs, MAX_PROBE_AFTER_MS);
  open.probeAtMs = nowMs + open.waitMs;
}

/** Forgets the exits that no account uses any more. */
export function forgetExits(guards: Guards, exits: ReadonlySet<string>): void {
  for (const scope of guards.keys()) {
    if (scope.startsWith('exit ') && !exits.has(scope.slice('exit '.length))) guards.delete(scope);
  }
}

/** Moves the probes with a clock that was set by `jumpMs`. */
export function moveProbes(guards: Guards, jumpMs: number): void {
  for (const { open } of guards.values()) if (open) open.probeAtMs += jumpMs;
}
