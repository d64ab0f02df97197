import type { CancelSignal } from '@/platform/cancellation';
import { processState } from '@/platform/process-state';

/**
 * Requests that wait for an account: each caller in turn, and first come first served among the
 * requests of one. Those that wait for something else do not hold each other up.
 */

/** The longest time after which a waiting request looks again, for what no event tells: rests end. */
const LOOK_EVERY_MS = 50;

interface Waiter {
  caller: string;
  /** Names what it waits for. */
  key: string;
  /** Nobody else of its key could do what it can't: it has tried no account yet. */
  hasTriedNone: boolean;
  /** Takes what it waits for if that is there. */
  attempt: () => boolean;
  /** Ends the wait without it. */
  turnAway: () => void;
}

interface Line {
  /** In the order in which they came. */
  waiters: Waiter[];
  /** When each caller last got what it waited for; the longest ago is next. */
  lastServed: Map<string, number>;
  served: number;
  timer: NodeJS.Timeout | null;
}

function line(): Line {
  return processState<Line>('wait-queue', () => ({
    waiters: [],
    lastServed: new Map(),
    served: 0,
    timer: null,
  }));
}

/** What a request waits for, and how long. */
export interface WaitOptions<T> {
  /** Whose request it is, such as the id of an API key. */
  caller: string;
  key: string;
  /** False if this request can't take every account that another one of its key could. */
  hasTriedNone: boolean;
  /** What is waited for, or null as long as it is not there. What it throws ends the wait. */
  attempt: () => T | null;
  waitMs: number;
  signal: CancelSignal;
}

/** How many wait now. */
export function queueLength(): number {
  return line().waiters.length;
}

/**
 * Whether one more request of `caller` may wait where `limit` may. When all places are taken, the
 * newest request of the caller who has the most is turned away, unless that is this one.
 */
export function makeRoom(caller: string, limit: number): boolean {
  const { waiters } = line();
  if (waiters.length < limit) return true;
  const counts = new Map<string, number>();
  for (const waiter of waiters) counts.set(waiter.caller, (counts.get(waiter.caller) ?? 0) + 1);
  const [most] = [...counts].sort(([, one], [, other]) => other - one);
  if (!most || most[1] <= (counts.get(caller) ?? 0) + 1) return false;
  waiters.findLast((waiter) => waiter.caller === most[0])?.turnAway();
  return true;
}

/** Whether a request of this key waits already, so that a newcomer must go behind it. */
export function isAwaited(key: string): boolean {
  return line().waiters.some((waiter) => waiter.hasTriedNone && waiter.key === key);
}

/**
 * Waits in line until `attempt` has something.
 * @returns null after `waitMs`, or at once when `signal` fires
 */
export function waitInLine<T>(options: WaitOptions<T>): Promise<T | null> {
  const { caller, key, hasTriedNone, attempt, waitMs, signal } = options;
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      leaveLine(waiter);
      end();
    };
    const giveUp = () => settle(() => resolve(null));
    const waiter: Waiter = {
      caller,
      turnAway: giveUp,
      key,
      hasTriedNone,
      attempt() {
        try {
          const found = attempt();
          if (found === null) return false;
          noteServed(caller);
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
  state.lastServed.clear();
}

function noteServed(caller: string): void {
  const state = line();
  state.served += 1;
  state.lastServed.set(caller, state.served);
}

/** Those who wait, in the order in which they may try: the first of each caller, then the second … */
function inTurn(): Waiter[] {
  const { waiters, lastServed } = line();
  const counts = new Map<string, number>();
  const ranked = waiters.map((waiter) => {
    const rank = counts.get(waiter.caller) ?? 0;
    counts.set(waiter.caller, rank + 1);
    return { waiter, rank, servedAt: lastServed.get(waiter.caller) ?? 0 };
  });
  if (counts.size > 1) {
    ranked.sort((one, other) => one.rank - other.rank || one.servedAt - other.servedAt);
  }
  return ranked.map(({ waiter }) => waiter);
}

/** Lets those who wait try, in their order: something may have become free. */
export function advanceLine(): void {
  if (line().waiters.length === 0) return;
  const stuck = new Set<string>();
  for (const waiter of inTurn()) {
    if (stuck.has(waiter.key) && waiter.hasTriedNone) continue;
    if (!waiter.attempt() && waiter.hasTriedNone) stuck.add(waiter.key);
  }
}
