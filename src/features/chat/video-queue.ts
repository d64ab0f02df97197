import { type CancelSignal, pause } from '@/platform/cancellation';
import { AppError, isAppError } from '@/platform/errors';
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

interface Places {
  atWork: number;
  /** Each gives the place to the one who waits for it. */
  line: Set<() => void>;
}

function places(): Places {
  return processState<Places>('video-places', () => ({ atWork: 0, line: new Set() }));
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
      leavePlace();
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
  const state = places();
  if (signal.aborted) throw left();
  if (state.atWork < MAX_AT_WORK) {
    state.atWork += 1;
    return;
  }
  const isTaken = await new Promise<boolean>((resolve) => {
    const settle = (taken: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      state.line.delete(take);
      resolve(taken);
    };
    const take = () => settle(true);
    const giveUp = () => settle(false);
    const timer = setTimeout(giveUp, waitMs);
    signal.addEventListener('abort', giveUp);
    state.line.add(take);
  });
  if (isTaken) return;
  if (signal.aborted) throw left();
  throw new AppError('rate_limited', 'Too many videos were ordered before this one.', {
    retryAfterMs: MAX_PAUSE_MS,
  });
}

/** The place goes to the next in line, if there is one. */
function leavePlace(): void {
  const state = places();
  const [next] = state.line;
  if (next) next();
  else state.atWork -= 1;
}

function left(): AppError {
  return new AppError('client_left', 'The video is not wanted any more.');
}
