import { allAccounts, markUsed } from '@/features/accounts/account-table';
import { reportFailure, reportSuccess, type Suspicion } from '@/features/accounts/blame';
import { type Deadline, startDeadline } from '@/features/accounts/deadline';
import { toAppError } from '@/features/accounts/faults';
import { type Lease, leaseOf } from '@/features/accounts/lease';
import {
  type Absence,
  answered,
  leave,
  type SeatNeed,
  soonestInMs,
  type Turn,
  takeSeat,
} from '@/features/accounts/seats';
import { advanceLine, isAwaited, queueLength, waitInLine } from '@/features/accounts/wait-queue';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import type { Fault, GeminiError } from '@/gemini/errors';
import { AppError } from '@/platform/errors';

/** What a request needs of the pool. */
export interface Need extends SeatNeed {
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

/**
 * Runs `run` on an account, and on the next one as long as it fails before its first value: the
 * first value commits the request to that account, since it may be on its way to the caller.
 * Failing accounts rest by the rules of `rest-rules.ts`. When all are busy or rest for a moment, it
 * waits in line. Never two accounts at once. The lease ends when the iteration ends, however it ends.
 * @throws AppError
 */
export async function* withAccount<T>(
  need: Need,
  run: (lease: Lease) => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const limits = await settings();
  const deadline = startDeadline(need.signal, limits.commitTimeoutMs);
  const tried = new Set<string>();
  const { trace, modelId } = need;
  const suspicion: Suspicion = { requestId: trace.requestId, modelId, blamed: [] };
  let lastError: GeminiError | null = null;
  try {
    for (;;) {
      deadline.resume();
      const taken = await acquire(need, tried, limits, deadline, lastError);
      tried.add(taken.account.id);
      trace.tries += 1;
      trace.account = { id: taken.account.id, label: taken.account.label };
      let committed = false;
      try {
        const lease = leaseOf(taken.account, limits, deadline.signal, {
          contentBegan: deadline.pause,
          served: () => answered(taken),
        });
        for await (const value of run(lease)) {
          if (!committed) {
            committed = true;
            deadline.pause();
            markUsed(taken.account.id, Date.now());
            reportSuccess(taken, modelId);
          }
          yield value;
        }
        return;
      } catch (error) {
        lastError = deadline.explain(error);
        trace.fault = lastError.fault;
        reportFailure(taken, lastError, limits, suspicion);
        if (committed || isFinal(lastError) || deadline.signal.aborted) throw toAppError(lastError);
      } finally {
        leave(taken);
        advanceLine();
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

/** The next account that was not tried, at once or after waiting in line. */
async function acquire(
  need: Need,
  tried: ReadonlySet<string>,
  limits: Settings,
  deadline: Deadline,
  lastError: GeminiError | null,
): Promise<Turn> {
  await allAccounts();
  let absence: Absence = { returnInMs: null, guard: null };
  const attempt = (): Turn | null => {
    const accounts = allAccounts();
    const inForce = settings();
    // Being loaded for the first time; never so once they were.
    if (accounts instanceof Promise || inForce instanceof Promise) return null;
    const found = takeSeat(need, tried, accounts, inForce);
    if ('turn' in found) return found;
    absence = found;
    const { returnInMs } = found;
    if (returnInMs === null || returnInMs > limits.queueWaitMs)
      throw refusal(need, absence, lastError);
    return null;
  };
  if (tried.size >= limits.maxTries) throw refusal(need, absence, lastError);
  // By model, too: the guard may hold up one and not the others.
  const key = `${need.kind} ${need.modelId}`;
  // Those who wait come first.
  advanceLine();
  const taken = isAwaited(key) ? null : attempt();
  if (taken) return taken;
  if (queueLength() >= limits.queueLimit) throw refusal(need, absence, lastError);
  const { signal } = deadline;
  const isPlain = tried.size === 0;
  const waited = await waitInLine({ key, isPlain, attempt, waitMs: limits.queueWaitMs, signal });
  if (waited) return waited;
  throw signal.aborted ? toAppError(deadline.explain(null)) : refusal(need, absence, lastError);
}

/** What the caller is told when no account takes the request (design 9). */
function refusal(
  need: Need,
  { guard, returnInMs }: Absence,
  lastError: GeminiError | null,
): AppError {
  const error = lastError ?? guard;
  const waitMs = guard ? returnInMs : soonestInMs(need);
  if (error) {
    const answer = toAppError(error);
    // What is broken may be tried again at any time; only limits and the guard know better.
    if (answer.code !== 'rate_limited' && !guard) return answer;
    const { code, message } = answer;
    const retryAfterMs = waitMs ?? error.retryAfterMs ?? undefined;
    return new AppError(code, message, { cause: error, retryAfterMs });
  }
  if (waitMs !== null) {
    return new AppError('rate_limited', 'All accounts are busy or rest. Try again later.', {
      retryAfterMs: waitMs,
    });
  }
  return new AppError(
    'no_account_available',
    'No account is there that can serve. The operator must look at the accounts.',
  );
}
