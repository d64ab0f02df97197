import type { Fault, GeminiError } from '@/gemini/errors';
import { excerpt } from '@/platform/errors';

const MAX_REASON_CHARACTERS = 100;

/** One try of a request on an account. Times are by the clock that nobody can set. */
export interface Attempt {
  account: { id: string; label: string };
  /** Since the call began. */
  startMs: number;
  /** Since the try began: the first that the upstream said, thoughts included. */
  firstByteMs: number | null;
  durationMs: number;
  /** Why the account was left; a try that nobody has ended yet is one that the caller left. */
  outcome: 'served' | Fault;
  /** Of the upstream's refusal, with its own word for it. */
  status: number | null;
  reason: string | null;
  isOver: boolean;
}

/** Which accounts a request went to, and what came of it; filled while it runs, for the log. */
export interface Trace {
  requestId: string;
  /** `performance.now()` when the call began. */
  beganAtMs: number;
  /** How long any of its questions waited for an account, as far as that is over. */
  queueMs: number;
  /** How many of its questions wait now. */
  waiting: number;
  /** `performance.now()` when the first of them began to. */
  waitingSinceMs: number;
  attempts: Attempt[];
}

/** The trace of a call that begins now. */
export function newTrace(requestId: string): Trace {
  const beganAtMs = performance.now();
  return { requestId, beganAtMs, queueMs: 0, waiting: 0, waitingSinceMs: 0, attempts: [] };
}

/** Whether an account is at work for it, or has served it: it does not wait for one. */
export function isBeingServed({ attempts }: Trace): boolean {
  return attempts.some(({ isOver, outcome }) => !isOver || outcome === 'served');
}

/** Whole milliseconds since the call began. */
export function elapsedMs({ beganAtMs }: Trace): number {
  return Math.round(performance.now() - beganAtMs);
}

/** Notes that the request waits for an account from now on; several of its questions may. */
export function beginWait(trace: Trace): void {
  if (trace.waiting === 0) trace.waitingSinceMs = performance.now();
  trace.waiting += 1;
}

/** Ends a wait, if there is one under way. What several waited at the same time counts once. */
export function endWait(trace: Trace): void {
  if (trace.waiting === 0) return;
  trace.waiting -= 1;
  if (trace.waiting === 0) trace.queueMs += Math.round(performance.now() - trace.waitingSinceMs);
}

/** Notes that the request goes to `account` now. */
export function beginAttempt(trace: Trace, { id, label }: { id: string; label: string }): Attempt {
  const attempt: Attempt = {
    account: { id, label },
    startMs: elapsedMs(trace),
    firstByteMs: null,
    durationMs: 0,
    outcome: 'client_left',
    status: null,
    reason: null,
    isOver: false,
  };
  trace.attempts.push(attempt);
  return attempt;
}

/** Notes that the upstream answers. Only the first call counts. */
export function noteFirstByte(trace: Trace, attempt: Attempt): void {
  attempt.firstByteMs ??= elapsedMs(trace) - attempt.startMs;
}

/** Ends a try: well, by the failure, or, with null, since the caller wants no more. */
export function endAttempt(
  trace: Trace,
  attempt: Attempt,
  end: 'served' | GeminiError | null,
): void {
  if (attempt.isOver) return;
  attempt.isOver = true;
  attempt.durationMs = elapsedMs(trace) - attempt.startMs;
  if (end === 'served') attempt.outcome = end;
  else if (end !== null) {
    attempt.outcome = end.fault;
    attempt.status = end.status;
    attempt.reason = end.reason === null ? null : excerpt(end.reason, MAX_REASON_CHARACTERS);
  }
}

/** Ends what of the trace is still under way, since the call ends now. */
export function endTrace(trace: Trace): void {
  while (trace.waiting > 0) endWait(trace);
  for (const attempt of trace.attempts) endAttempt(trace, attempt, null);
}

/** The last fault, also of a call that another account then served. */
export function lastFault({ attempts }: Trace): Fault | null {
  const outcome = attempts.findLast((attempt) => attempt.outcome !== 'served')?.outcome;
  return outcome === undefined || outcome === 'served' ? null : outcome;
}
