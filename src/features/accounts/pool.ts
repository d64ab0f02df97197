import { type Account, allAccounts, markUsed } from '@/features/accounts/account-table';
import { startDeadline } from '@/features/accounts/deadline';
import { toAppError } from '@/features/accounts/faults';
import { healthEpochOf, healthOf, setHealth } from '@/features/accounts/health';
import { type Lease, leaseOf } from '@/features/accounts/lease';
import { nextInTurn } from '@/features/accounts/selection';
import { afterFailure, afterSuccess, mayServe } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import type { Fault, GeminiError } from '@/gemini/errors';
import { AppError } from '@/platform/errors';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/** What a request needs of the pool. */
export interface Need {
  /** The accounts that may serve it; empty: every account. */
  accountIds: readonly string[];
  /** Fires when the caller leaves. */
  signal: AbortSignal;
  /** Filled while it runs, for the request log. */
  trace: Trace;
}

/** Which accounts a request went to, and what came of it. */
export interface Trace {
  requestId: string;
  tries: number;
  account: { id: string; label: string } | null;
  /** The last failure, also of a request that another account then served. */
  fault: Fault | null;
}

interface PoolState {
  lastTurn: Map<string, number>;
  turns: number;
}

function pool(): PoolState {
  return processState<PoolState>('pool', () => ({ lastTurn: new Map(), turns: 0 }));
}

/** An account taken for one try. */
interface Turn {
  account: Account;
  turn: number;
  healthEpoch: number;
}

/**
 * Runs `run` on an account, and on the next one as long as it fails before its first value: the
 * first value commits the request to that account, since it may be on its way to the caller.
 * Failing accounts rest by the rules of `state.ts`. Never two accounts at once. The lease ends when
 * the iteration ends, however it ends.
 * @throws AppError
 */
export async function* withAccount<T>(
  need: Need,
  run: (lease: Lease) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const limits = await settings();
  const deadline = startDeadline(need.signal, limits.commitTimeoutMs);
  const tried = new Set<string>();
  let lastError: GeminiError | null = null;
  try {
    for (;;) {
      const taken = await acquire(need, tried, limits, lastError);
      let committed = false;
      deadline.resume();
      try {
        for await (const value of run(
          leaseOf(taken.account, limits, deadline.signal, deadline.pause),
        )) {
          if (!committed) {
            committed = true;
            deadline.pause();
            reportSuccess(taken);
          }
          yield value;
        }
        return;
      } catch (error) {
        lastError = deadline.explain(error);
        need.trace.fault = lastError.fault;
        reportFailure(taken, lastError, limits, need.trace.requestId);
        if (committed || isFinal(lastError) || deadline.signal.aborted) throw toAppError(lastError);
      }
    }
  } finally {
    deadline.end();
  }
}

/** A failure that no other account would mend. */
function isFinal({ fault, reason }: GeminiError): boolean {
  // A workspace may lack a model that another one has.
  if (fault === 'request') return reason !== 'UNKNOWN_MODEL';
  return fault === 'client_left' || fault === 'ours';
}

async function acquire(
  need: Need,
  tried: Set<string>,
  limits: Settings,
  lastError: GeminiError | null,
): Promise<Turn> {
  const accounts = await allAccounts();
  const nowMs = Date.now();
  const mine = [...accounts.values()].filter(
    ({ id }) => need.accountIds.length === 0 || need.accountIds.includes(id),
  );
  const eligible = mine.filter(
    ({ id, enabled }) => !tried.has(id) && mayServe(enabled, healthOf(id), nowMs),
  );
  const account = tried.size < limits.maxTries ? nextInTurn(eligible, pool().lastTurn) : undefined;
  if (!account) throw lastError ? withWait(lastError, mine, nowMs) : nobodyServes(mine, nowMs);
  tried.add(account.id);
  need.trace.tries += 1;
  need.trace.account = { id: account.id, label: account.label };
  return claim(account, limits, nowMs);
}

function claim(account: Account, limits: Settings, nowMs: number): Turn {
  const state = pool();
  state.turns += 1;
  state.lastTurn.set(account.id, state.turns);
  const health = healthOf(account.id);
  // One request alone probes an account that needs a human; the others leave it in peace.
  if (health.condition === 'needs_human') {
    setHealth(account.id, { ...health, restUntilMs: nowMs + limits.probeEveryMs });
  }
  return { account, turn: state.turns, healthEpoch: healthEpochOf(account.id) };
}

/** Milliseconds until the first of the accounts that come back by themselves; null if none does. */
function soonestMs(accounts: Account[], nowMs: number): number | null {
  const waits = accounts.flatMap(({ id, enabled }) => {
    const { condition, restUntilMs } = healthOf(id);
    return enabled && condition === 'ok' ? [Math.max(0, (restUntilMs ?? 0) - nowMs)] : [];
  });
  return waits.length > 0 ? Math.min(...waits) : null;
}

function nobodyServes(accounts: Account[], nowMs: number): AppError {
  const waitMs = soonestMs(accounts, nowMs);
  if (waitMs !== null) {
    return new AppError('rate_limited', 'All accounts rest at the moment. Try again later.', {
      retryAfterMs: waitMs,
    });
  }
  const why = accounts.length === 0 ? 'No account is configured' : 'No account can serve';
  return new AppError('no_account_available', `${why}. The operator must look at the accounts.`);
}

function withWait(error: GeminiError, accounts: Account[], nowMs: number): AppError {
  const answer = toAppError(error);
  if (answer.code !== 'rate_limited') return answer;
  return new AppError(answer.code, answer.message, {
    cause: error,
    retryAfterMs: soonestMs(accounts, nowMs) ?? error.retryAfterMs ?? undefined,
  });
}

function reportSuccess({ account, turn, healthEpoch }: Turn): void {
  markUsed(account.id, Date.now());
  if (healthEpoch !== healthEpochOf(account.id)) return;
  const health = healthOf(account.id);
  const next = afterSuccess(health, { turn, endTurn: pool().turns });
  if (next === health) return;
  setHealth(account.id, next);
  log().info({ account: account.label }, 'account serves again');
}

function reportFailure(
  { account, turn, healthEpoch }: Turn,
  error: GeminiError,
  limits: Settings,
  requestId: string,
): void {
  const nowMs = Date.now();
  const health = healthOf(account.id);
  const isCurrent = healthEpoch === healthEpochOf(account.id);
  const use = { turn, endTurn: pool().turns };
  const next = isCurrent ? afterFailure(health, error, use, limits, nowMs) : health;
  if (next !== health) setHealth(account.id, next);
  if (error.fault === 'client_left') return;
  const { fault, status, reason, message } = error;
  const restMs = Math.max(0, (next.restUntilMs ?? nowMs) - nowMs);
  log().warn(
    {
      requestId,
      account: account.label,
      fault,
      status,
      reason,
      message,
      condition: next.condition,
      restMs,
    },
    'try failed',
  );
}
