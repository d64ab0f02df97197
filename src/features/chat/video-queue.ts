import { type CancelSignal, pause } from '@/platform/cancellation';
import { AppError, isAppError } from '@/platform/errors';
import { Places } from '@/platform/places';
import { processState } from '@/platform/process-state';

/**
 * So many videos are made at the same time, and the others wait for their turn, first come first
 * served. One for which no account has room waits, too: its caller does not stand by.
 */

const MAX_AT_WORK = 8;
/** Of one video, all its waits together. What its caller attached must stay on disk for so long. */
const PATIENCE_MS = 30 * 60_000;
/** Before the next try, whatever the pool says: it knows the soonest account, and not who is first. */
const MIN_PAUSE_MS = 5_000;
const MAX_PAUSE_MS = 60_000;

function places(): Places {
  return processState('video-places', () => new Places(MAX_AT_WORK));
}

/**
 * Runs `make` when it is its turn, and again as long as it fails with `rate_limited` and the patience
 * lasts. Between two tries it holds no place.
 * @throws AppError `client_left` if `signal` fires while it waits, `rate_limited` after the patience;
 *   else what `make` throws
 */
export async function inTurn<T>(make: () => Promise<T>, signal: CancelSignal): Promise<T> {
  const giveUpAtMs = performance.now() + PATIENCE_MS;
  for (;;) {
    await takePlace(signal, giveUpAtMs - performance.now());
    let pauseMs: number;
    try {
      return await make();
    } catch (error) {
      const retryAfterMs = waitFor(error);
      const lastsMs = giveUpAtMs - performance.now();
      if (retryAfterMs === null || retryAfterMs > lastsMs || signal.aborted) throw error;
      pauseMs = Math.min(Math.max(MIN_PAUSE_MS, retryAfterMs), MAX_PAUSE_MS);
    } finally {
      places().leave();
    }
    await pause(pauseMs, signal);
    if (signal.aborted) throw left();
  }
}

/** After what time the failure may be over by itself; null: it won't. */
function waitFor(error: unknown): number | null {
  if (!isAppError(error) || error.code !== 'rate_limited') return null;
  return error.retryAfterMs ?? MIN_PAUSE_MS;
}

async function takePlace(signal: CancelSignal, waitMs: number): Promise<void> {
  if (await places().take({ signal, waitMs })) return;
  if (signal.aborted) throw left();
  throw new AppError('rate_limited', 'Too many videos were ordered before this one.', {
    retryAfterMs: MAX_PAUSE_MS,
  });
}

function left(): AppError {
  return new AppError('client_left', 'The video is not wanted any more.');
}
