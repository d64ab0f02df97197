import {
  type Account,
  allAccounts,
  healthTable,
  markUsed,
  setHealth,
} from '@/features/accounts/accounts';
import { startDeadline } from '@/features/accounts/deadline';
import { toAppError } from '@/features/accounts/faults';
import { type Lease, leaseOf } from '@/features/accounts/lease';
import { nextInTurn } from '@/features/accounts/selection';
import {
  afterFailure,
  afterSuccess,
  EMPTY_ANSWER,
  healthy,
  mayServe,
} from '@/features/accounts/state';
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
  tries: number;
  accountId: string | null;
  fault: Fault | null;
}

interface PoolState {
  lastTurn: Map<string, number>;
  turns: number;
}

function pool(): PoolState {
  return processState<PoolState>('pool', () => ({ lastTurn: new Map(), turns: 0 }));
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
  try {
    for (let lastError: GeminiError | null = null; ; ) {
      const account = await acquire(need, tried, limits, lastError);
      tried.add(account.id);
      need.trace.tries += 1;
      need.trace.accountId = account.id;
      let committed = false;
      try {
        for await (const value of run(leaseOf(account, limits, deadline.signal))) {
          if (!committed) {
            committed = true;
            deadline.clear();
            reportSuccess(account);
          }
          yield value;
        }
        return;
      } catch (error) {
        lastError = deadline.explain(error);
        need.trace.fault = lastError.fault;
        reportFailure(account, lastError, limits);
        if (committed || isFinal(lastError) || deadline.signal.aborted) throw toAppError(lastError);
      }
    }
  } finally {
    deadline.clear();
  }
}

/** A failure that no other account would mend. */
function isFinal(error: GeminiError): boolean {
  return error.fault === 'request' || error.fault === 'client_left' || error.fault === 'ours';
}

async function acquire(
  need: Need,
  tried: Set<string>,
  limits: Settings,
  lastError: GeminiError | null,
): Promise<Account> {
  const accounts = await allAccounts();
  const health = healthTable();
  const nowMs = Date.now();
  const mine = [...accounts.values()].filter(
    (account) => need.accountIds.length === 0 || need.accountIds.includes(account.id),
  );
  const account =
    tried.size >= limits.maxTries
      ? undefined
      : nextInTurn(
          mine.filter(
            ({ id, enabled }) =>
              !tried.has(id) && mayServe(enabled, health.get(id) ?? healthy, nowMs),
          ),
          pool().lastTurn,
        );
  if (!account) throw lastError ? withWait(lastError, mine, nowMs) : nobodyServes(mine, nowMs);
  claim(account, limits, nowMs);
  return account;
}

function claim(account: Account, limits: Settings, nowMs: number): void {
  const state = pool();
  state.turns += 1;
  state.lastTurn.set(account.id, state.turns);
  const health = healthTable().get(account.id);
  // One request alone probes an account that needs a human; the others leave it in peace.
  if (health?.condition === 'needs_human') {
    setHealth(account.id, {
      ...health,
      restUntilMs: nowMs + limits.probeEveryMs,
      stateChangedAtMs: nowMs,
    });
  }
}

/** Milliseconds until the first of the accounts that come back by themselves; null if none does. */
function soonestMs(accounts: Account[], nowMs: number): number | null {
  const waits = accounts.flatMap(({ id, enabled }) => {
    const health = healthTable().get(id) ?? healthy;
    return enabled && health.condition === 'ok'
      ? [Math.max(0, (health.restUntilMs ?? 0) - nowMs)]
      : [];
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

function reportSuccess(account: Account): void {
  const nowMs = Date.now();
  const health = healthTable().get(account.id) ?? healthy;
  const next = afterSuccess(health, nowMs);
  if (next !== health) {
    setHealth(account.id, next);
    log().info({ account: account.label }, 'account serves again');
  }
  markUsed(account.id, nowMs);
}

function reportFailure(account: Account, error: GeminiError, limits: Settings): void {
  const nowMs = Date.now();
  const health = healthTable().get(account.id) ?? healthy;
  const next = afterFailure(health, error, limits, nowMs);
  if (next !== health) setHealth(account.id, next);
  if (error.fault === 'client_left') return;
  log().warn(
    {
      account: account.label,
      fault: error.fault,
      status: error.status,
      reason: error.reason,
      message: error.message,
      condition: next.condition,
      restMs: next.restUntilMs === null ? 0 : Math.max(0, next.restUntilMs - nowMs),
    },
    error.reason === EMPTY_ANSWER ? 'answer without text' : 'account failed',
  );
}
