import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';

/**
 * A body is held in several forms until its request ends: a few of the largest at the same time
 * would take all memory. So large ones share a budget.
 */

/** Of the unpacked bytes of all large bodies at the same time. */
const BUDGET_BYTES = 64 * 1_048_576;
/** Smaller ones are not counted: the number of connections bounds them. */
const SMALL_BYTES = 262_144;
const RETRY_AFTER_MS = 2_000;

function budget(): { usedBytes: number } {
  return processState('body-budget', () => ({ usedBytes: 0 }));
}

/** The part of the budget that one request has. */
export class BodyShare {
  #bytes = 0;

  /**
   * Makes room for a body of so many bytes, instead of what it was taken for before.
   * @throws AppError `rate_limited` if other bodies take the room
   */
  hold(bytes: number): void {
    if (this.mayHold(bytes)) return;
    throw new AppError('rate_limited', 'Too many large requests at the same time. Try again.', {
      retryAfterMs: RETRY_AFTER_MS,
    });
  }

  /** `hold`, if there is room; else false, and nothing changes. */
  mayHold(bytes: number): boolean {
    const state = budget();
    const moreBytes = (bytes > SMALL_BYTES ? bytes : 0) - this.#bytes;
    // The largest body that is allowed fits alone, whatever the setting.
    const othersBytes = state.usedBytes - this.#bytes;
    if (moreBytes > 0 && othersBytes > 0 && state.usedBytes + moreBytes > BUDGET_BYTES) {
      return false;
    }
    state.usedBytes += moreBytes;
    this.#bytes += moreBytes;
    return true;
  }

  /** Gives the room back, at the end of the request. Safe to call again. */
  release(): void {
    budget().usedBytes -= this.#bytes;
    this.#bytes = 0;
  }
}
