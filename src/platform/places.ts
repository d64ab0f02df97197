import type { CancelSignal } from '@/platform/cancellation';

/** Room for so much work at the same time; the rest waits in line, first come, first served. */
export class Places {
  readonly #limit: number;
  #taken = 0;
  /** Each gives a place to the one who waits for it. */
  readonly #line = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many wait in line. */
  get waiting(): number {
    return this.#line.size;
  }

  /**
   * Takes a place, which must be given back by `leave`, at once or after a wait in line. False if
   * there was none within `waitMs` or before `signal` fired; then there is nothing to give back.
   */
  take({ waitMs, signal }: { waitMs?: number; signal?: CancelSignal } = {}): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    if (this.#taken < this.#limit) {
      this.#taken += 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const settle = (isTaken: boolean) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', giveUp);
        this.#line.delete(take);
        resolve(isTaken);
      };
      const take = () => settle(true);
      const giveUp = () => settle(false);
      const timer = waitMs === undefined ? undefined : setTimeout(giveUp, waitMs);
      signal?.addEventListener('abort', giveUp);
      this.#line.add(take);
    });
  }

  /** Gives a place back: to the first in line, if anybody waits. */
  leave(): void {
    const [next] = this.#line;
    if (next) next();
    else this.#taken -= 1;
  }
}
