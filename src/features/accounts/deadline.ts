import { DEADLINE } from '@/features/accounts/rest-rules';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
import { registerWork } from '@/platform/lifecycle';

/** What a request waits for, and what ends it early. */
export interface Deadline {
  /** Fires when the caller leaves, when the time is over, or when the server must stop. */
  signal: CancelSignal;
  /** Stops the clock: content comes. */
  pause(): void;
  /** Lets the clock run again, from when the request began. */
  resume(): void;
  /** Frees everything; to be called once, whatever happened. */
  end(): void;
  /** The failure, with an abort told apart by what fired. */
  explain(error: unknown): GeminiError;
}

/** Reason of a failure that is only due to the stop of the server. */
export const SHUTTING_DOWN = 'SHUTTING_DOWN';

/**
 * The clock of all tries of one request. One timer and one listener: `AbortSignal.any` would cost
 * 20 µs of every request.
 */
export function startDeadline(callerSignal: CancelSignal, timeoutMs: number): Deadline {
  const cancellation = new Cancellation();
  const endsAt = performance.now() + timeoutMs;
  let isCut = false;
  let timer: NodeJS.Timeout | undefined;
  const abort = () => cancellation.abort();
  const unregister = registerWork(() => {
    isCut = true;
    abort();
  });
  if (callerSignal.aborted) abort();
  else callerSignal.addEventListener('abort', abort);
  return {
    signal: cancellation,
    pause: () => clearTimeout(timer),
    resume() {
      clearTimeout(timer);
      timer = setTimeout(abort, endsAt - performance.now());
    },
    end() {
      clearTimeout(timer);
      unregister();
      callerSignal.removeEventListener('abort', abort);
    },
    explain(error) {
      if (callerSignal.aborted) return new GeminiError('client_left', 'The caller left.');
      if (isCut) return new GeminiError('ours', 'The server stops.', { reason: SHUTTING_DOWN });
      if (cancellation.aborted) {
        return new GeminiError('upstream', 'The time for all tries is over.', {
          reason: DEADLINE,
        });
      }
      if (isGeminiError(error)) return error;
      return new GeminiError('ours', 'A fault of this server.', { cause: error });
    },
  };
}
