import { EMPTY_ANSWER, type Failure } from '@/features/accounts/rest-rules';
import type { GeminiError } from '@/gemini/errors';

/**
 * The pool guard: the same failure on several accounts in a row, with no success in between, is not
 * theirs. The exit address is limited, the proxy or the upstream is down, or one model is
 * overloaded. The guard of what they share then opens: nobody is blamed any more, and single
 * requests probe it, less and less often, until one succeeds. Pure: time comes in as an argument.
 */

/** What failing accounts may have in common: an exit address, a model, or the upstream as such. */
export type Scope = `exit ${string}` | `model ${string}` | 'upstream';

export interface Guard {
  /** What the failures have in common. */
  signature: string;
  accounts: string[];
  sinceMs: number;
  /** Not null: open since that failure. */
  open: { failure: GeminiError; probeAtMs: number; waitMs: number } | null;
}

export type Guards = Map<Scope, Guard>;

const ACCOUNTS_TO_OPEN = 3;
const WINDOW_MS = 60_000;
const FIRST_PROBE_AFTER_MS = 1_000;
const MAX_PROBE_AFTER_MS = 10_000;

/** The parts of the world that a request on an account goes through. */
export interface Way {
  exit: string;
  modelId: string | null;
}

/** What else but the account a failure may be due to; null if it is the account's for sure. */
export function suspectOf(failure: Failure, way: Way): { scope: Scope; signature: string } | null {
  const { fault, status, reason } = failure;
  const exit: Scope = `exit ${way.exit}`;
  switch (fault) {
    case 'egress':
      return { scope: exit, signature: `egress ${reason}` };
    case 'quota':
      // A named reason or a time is meant for the account; a bare 429 may be meant for the address.
      if (reason === 'QUOTA_EXCEEDED' || failure.retryAfterMs !== null) return null;
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
      if (reason === EMPTY_ANSWER) return null;
      return {
        scope: status === 403 ? exit : 'upstream',
        signature: `upstream ${status ?? reason}`,
      };
    case 'truncated':
      return { scope: 'upstream', signature: 'truncated' };
    default:
      return null;
  }
}

/**
 * Takes note of a failure.
 * @returns `open` if the guard was open already, `opened` if this failure opened it: in both the
 *   account is not to blame. `closed` if it is.
 */
export function noteFailure(
  guards: Guards,
  suspect: { scope: Scope; signature: string },
  accountId: string,
  failure: GeminiError,
  nowMs: number,
): 'closed' | 'opened' | 'open' {
  const { scope, signature } = suspect;
  const known = guards.get(scope);
  if (known?.open) return 'open';
  const isSame = known?.signature === signature && nowMs - known.sinceMs < WINDOW_MS;
  const guard = isSame ? known : { signature, accounts: [], sinceMs: nowMs, open: null };
  guards.set(scope, guard);
  if (!guard.accounts.includes(accountId)) guard.accounts.push(accountId);
  if (guard.accounts.length < ACCOUNTS_TO_OPEN) return 'closed';
  guard.open = { failure, probeAtMs: nowMs + FIRST_PROBE_AFTER_MS, waitMs: FIRST_PROBE_AFTER_MS };
  return 'opened';
}

/**
 * Takes note of an answer that came by `way`: all that it went through works.
 * @returns the scopes that were open
 */
export function noteSuccess(guards: Guards, way: Way): Scope[] {
  if (guards.size === 0) return [];
  const scopes: Scope[] = ['upstream', `exit ${way.exit}`, `model ${way.modelId}`];
  const open = scopes.filter((scope) => guards.get(scope)?.open);
  for (const scope of scopes) guards.delete(scope);
  return open;
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

/** Moves the probes with a clock that was set by `jumpMs`. */
export function moveProbes(guards: Guards, jumpMs: number): void {
  for (const { open } of guards.values()) if (open) open.probeAtMs += jumpMs;
}
