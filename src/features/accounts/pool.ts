import { allAccounts, markUsed } from '@/features/accounts/account-table';
import { reportFailure, reportSuccess, type Suspicion } from '@/features/accounts/blame';
import { type Deadline, startDeadline } from '@/features/accounts/deadline';
import { modelNotOffered, toAppError } from '@/features/accounts/faults';
import { type Lease, leaseOf } from '@/features/accounts/lease';
import { learnFromFailure, learnFromSuccess } from '@/features/accounts/offers';
import { EMPTY_ANSWER, MEDIA_LOST } from '@/features/accounts/rest-rules';
import type { SeatNeed } from '@/features/accounts/rolls';
import {
  type Absence,
  answered,
  isModelLacking,
  refreshSeat,
  releaseSeat,
  soonestInMs,
  type Turn,
  takeSeat,
} from '@/features/accounts/seats';
import {
  beginAttempt,
  beginWait,
  endAttempt,
  endWait,
  noteFirstByte,
  type Trace,
} from '@/features/accounts/trace';
import { advanceLine, isAwaited, makeRoom, waitInLine } from '@/features/accounts/wait-queue';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { type GeminiError, isGeminiError } from '@/gemini/errors';
import type { CancelSignal } from '@/platform/cancellation';
import { AppError, isAppError } from '@/platform/errors';

/** What a request needs of the pool. */
export interface Need extends SeatNeed {
  /** Whose request it is: callers wait in line side by side, and not behind each other. */
  callerId: string;
  /** Fires when the caller leaves. */
  signal: CancelSignal;
  /** Filled while it runs, for the request log. */
  trace: Trace;
}

/**
 * Answers that were given for nothing: each costs a use of the quota (a picture or video is one of a
 * few a day), and after so many it is the question, or the way here.
 */
const MAX_WASTED: Readonly<Record<string, number>> = { [EMPTY_ANSWER]: 3, [MEDIA_LOST]: 2 };

/** The reason of a refusal that speaks of the model. */
const UNKNOWN_MODEL = 'UNKNOWN_MODEL';

/** A request on its way through the pool. */
interface Passage {
  need: Need;
  limits: Settings;
  deadline: Deadline;
  tried: Set<string>;
  suspicion: Suspicion;
  lastError: GeminiError | null;
  wastedAnswers: number;
  /** What is left of the time that it may wait in line, all its tries together. */
  waitLeftMs: number;
  /** The tries that were refused for the model, and of which nobody has learned yet. */
  refusals: Turn[];
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
  const { requestId } = need.trace;
  const isMedia = need.kind !== 'text';
  const timeoutMs = isMedia ? limits.mediaCommitTimeoutMs : limits.commitTimeoutMs;
  const passage: Passage = {
    need,
    limits,
    deadline: startDeadline(need.signal, timeoutMs),
    tried: new Set(),
    suspicion: { requestId, modelId: need.modelId, blamed: [], openedGuard: false },
    lastError: null,
    wastedAnswers: 0,
    waitLeftMs: limits.queueWaitMs,
    refusals: [],
  };
  try {
    let isDone = false;
    while (!isDone) isDone = yield* tryOnce(passage, run);
  } catch (error) {
    if (isForModel(error)) learnOffers(passage, learnFromFailure);
    throw error;
  } finally {
    passage.deadline.end();
  }
}

/** One try. Returns whether it was the last: false after a failure that another account may mend. */
async function* tryOnce<T>(
  passage: Passage,
  run: (lease: Lease) => AsyncIterable<T>,
): AsyncGenerator<T, boolean, undefined> {
  const { need, limits, deadline, suspicion } = passage;
  deadline.resume();
  const taken = await acquire(passage);
  const { id } = taken.account;
  passage.tried.add(id);
  const attempt = beginAttempt(need.trace, taken.account);
  let committed = false;
  // An answer that is not streamed comes long after its first word, and says no more of the account.
  let isProven = false;
  const contentBegan = () => {
    deadline.pause();
    if (isProven) return;
    isProven = true;
    reportSuccess(taken, need.modelId);
    learnOffers(passage, learnFromSuccess);
  };
  try {
    const lease = leaseOf(taken.account, need.kind, limits, deadline.signal, {
      contentBegan,
      served() {
        // What was cut short is counted, too, without a word of an answer.
        if (!deadline.signal.aborted) noteFirstByte(need.trace, attempt);
        answered(taken);
      },
    });
    for await (const value of run(lease)) {
      if (!committed) {
        committed = true;
        contentBegan();
        markUsed(id, Date.now());
      }
      yield value;
    }
    endAttempt(need.trace, attempt, 'served');
    return true;
  } catch (error) {
    const failure = deadline.explain(error);
    passage.lastError = failure;
    endAttempt(need.trace, attempt, failure);
    reportFailure(taken, failure, limits, suspicion);
    if (failure.reason === UNKNOWN_MODEL) passage.refusals.push(taken);
    const isOver = committed || isFinal(failure) || isWastedTooOften(passage, failure);
    if (isOver || deadline.signal.aborted) throw toAppError(failure);
    return false;
  } finally {
    endAttempt(need.trace, attempt, null);
    releaseSeat(taken);
    advanceLine();
  }
}

function learnOffers({ need, refusals }: Passage, learn: typeof learnFromSuccess): void {
  learn(need.upstreamModelId, refusals, Date.now());
  for (const { account } of refusals) refreshSeat(account.id);
  refusals.length = 0;
}

/** Whether the request has failed for its model, and not since its caller left or its time was over. */
function isForModel(error: unknown): boolean {
  return isAppError(error) && isGeminiError(error.cause) && error.cause.reason === UNKNOWN_MODEL;
}

function isWastedTooOften(passage: Passage, { reason }: GeminiError): boolean {
  const limit = MAX_WASTED[reason ?? ''];
  if (limit === undefined) return false;
  passage.wastedAnswers += 1;
  return passage.wastedAnswers >= limit;
}

/** A failure that no other account would mend. */
function isFinal({ fault, reason }: GeminiError): boolean {
  // A workspace may lack a model that another one has.
  if (fault === 'request') return reason !== UNKNOWN_MODEL;
  return fault === 'client_left' || fault === 'ours';
}

/** The next account that was not tried, at once or after waiting in line. */
async function acquire(passage: Passage): Promise<Turn> {
  const { need, tried, limits, deadline } = passage;
  await allAccounts();
  let absence: Absence = { returnInMs: null, guard: null };
  const startedAt = performance.now();
  const attempt = (): Turn | null => {
    const accounts = allAccounts();
    const inForce = settings();
    // Being loaded for the first time; never so once they were.
    if (accounts instanceof Promise || inForce instanceof Promise) return null;
    const passesGuard = passage.suspicion.openedGuard;
    const found = takeSeat(need, { tried, passesGuard }, accounts, inForce);
    if ('turn' in found) return found;
    absence = found;
    const waitLeftMs = passage.waitLeftMs - (performance.now() - startedAt);
    const { returnInMs } = found;
    if (returnInMs === null || returnInMs > waitLeftMs) throw refusal(passage, found);
    return null;
  };
  if (tried.size >= limits.maxTries) throw refusal(passage, absence);
  // By model, too: the guard may hold up one and not the others.
  const key = `${need.kind} ${need.modelId}`;
  // Those who wait come first.
  advanceLine();
  const taken = isAwaited(key) ? null : attempt();
  if (taken) return taken;
  if (!makeRoom(need.callerId, limits.queueLimit)) throw refusal(passage, absence);
  const { signal } = deadline;
  const hasTriedNone = tried.size === 0;
  const waitMs = passage.waitLeftMs;
  const caller = need.callerId;
  const line = { caller, key, hasTriedNone, attempt, waitMs, signal };
  beginWait(need.trace);
  const waited = await waitInLine(line).finally(() => {
    passage.waitLeftMs -= performance.now() - startedAt;
    endWait(need.trace);
  });
  if (waited) return waited;
  throw signal.aborted ? toAppError(deadline.explain(null)) : refusal(passage, absence);
}

/** What the caller is told when no account takes the request (design 9). */
function refusal({ need, lastError }: Passage, { guard, returnInMs }: Absence): AppError {
  const error = lastError ?? guard;
  const waitMs = guard ? returnInMs : soonestInMs(need);
  if (error) {
    const answer = toAppError(error);
    // What is broken may be tried again at any time; only limits and the guard know better. No wait
    // mends a model that is not offered.
    const isLimited = answer.code === 'rate_limited' || guard !== null;
    if (!isLimited || error.fault === 'request') return answer;
    const { code, message } = answer;
    const retryAfterMs = waitMs ?? error.retryAfterMs ?? undefined;
    return new AppError(code, message, { cause: error, retryAfterMs });
  }
  if (waitMs !== null) {
    return new AppError('rate_limited', 'All accounts are busy or rest. Try again later.', {
      retryAfterMs: waitMs,
    });
  }
  if (isModelLacking(need)) return modelNotOffered();
  return new AppError(
    'no_account_available',
    'No account is there that can serve. The operator must look at the accounts.',
  );
}
