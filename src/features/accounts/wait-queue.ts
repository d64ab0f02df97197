import { processState } from '@/platform/process-state';

/**
 * Requests that wait for an account, first come first served. Those that wait for the same accounts
 * never overtake each other; those that wait for others do not hold each other up.
 */

/** The longest time after which a waiting request looks again, for what no event tells: rests end. */
const LOOK_EVERY_MS = 50;

interface Waiter {
  /** Names what it waits for. */
  key: string;
  /** Nobody else of its key could do what it can't: it has tried no account yet. */
  isPlain: boolean;
  /** Takes what it waits for if that is there. */
  attempt: () => boolean;
}

interface Line {
  waiters: Waiter[];
  timer: NodeJS.Timeout | null;
}

function line(): Line {
  return processState<Line>('wait-queue', () => ({ waiters: [], timer: null }));
}

export interface WaitOptions<T> {
  key: string;
  /** False if this request can't take every account that another one of its key could. */
  isPlain: boolean;
  /** What is waited for, or null as long as it is not there. What it throws ends the wait. */
  attempt: () => T | null;
  waitMs: number;
  signal: AbortSignal;
}

/** How many wait now. */
export function queueLength(): number {
  return line().waiters.length;
}

/** Whether a request of this key waits already, so that a newcomer must go behind it. */
export function isAwaited(key: string): boolean {
  return line().waiters.some((waiter) => waiter.key === key);
}

/**
 * Waits in line until `attempt` has something.
 * @returns null after `waitMs`, or at once when `signal` fires
 */
export function waitInLine<T>(options: WaitOptions<T>): Promise<T | null> {
  const { key, isPlain, attempt, waitMs, signal } = options;
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      leaveLine(waiter);
      end();
    };
    const giveUp = () => settle(() => resolve(null));
    const waiter: Waiter = {
      key,
      isPlain,
      attempt() {
        try {
          const found = attempt();
          if (found === null) return false;
          settle(() => resolve(found));
        } catch (error) {
          settle(() => reject(error));
        }
        return true;
      },
    };
    const timer = setTimeout(giveUp, waitMs);
    signal.addEventListener('abort', giveUp);
    join(waiter);
    if (signal.aborted) giveUp();
  });
}

function join(waiter: Waiter): void {
  const state = line();
  state.waiters.push(waiter);
  state.timer ??= setInterval(advanceLine, LOOK_EVERY_MS);
}

function leaveLine(waiter: Waiter): void {
  const state = line();
  state.waiters = state.waiters.filter((each) => each !== waiter);
  if (state.waiters.length > 0 || state.timer === null) return;
  clearInterval(state.timer);
  state.timer = null;
}

/** Lets those who wait try, in their order: something may have become free. */
export function advanceLine(): void {
  if (line().waiters.length === 0) return;
  const stuck = new Set<string>();
  for (const waiter of [...line().waiters]) {
    if (stuck.has(waiter.key) && waiter.isPlain) continue;
    if (!waiter.attempt() && waiter.isPlain) stuck.add(waiter.key);
  }
}
