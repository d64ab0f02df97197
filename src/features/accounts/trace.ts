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
  /** Waits for an account, all together, as far as they are over. */
  queueMs: number;
  /** `performance.now()` when the wait under way began; null: it does not wait. */
  waitingSinceMs: number | null;
  attempts: Attempt[];
}

/** The trace of a call that begins now. */
export function newTrace(requestId: string): Trace {
  const beganAtMs = performance.now();
  return { requestId, beganAtMs, queueMs: 0, waitingSinceMs: null, attempts: [] };
}

/** Whole milliseconds since the call began. */
export function elapsedMs({ beganAtMs }: Trace): number {
  return Math.round(performance.now() - beganAtMs);
}

/** Notes that the request waits for an account from now on. */
export function beginWait(trace: Trace): void {
  trace.waitingSinceMs = performance.now();
}

/** Adds the wait under way, if there is one, to the others. */
export function endWait(trace: Trace): void {
  if (trace.waitingSinceMs === null) return;
  trace.queueMs += Math.round(performance.now() - trace.waitingSinceMs);
  trace.waitingSinceMs = null;
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
  endWait(trace);
  for (const attempt of trace.attempts) endAttempt(trace, attempt, null);
}

/** The last fault, also of a call that another account then served. */
export function lastFault({ attempts }: Trace): Fault | null {
  const outcome = attempts.findLast((attempt) => attempt.outcome !== 'served')?.outcome;
  return outcome === undefined || outcome === 'served' ? null : outcome;
}
