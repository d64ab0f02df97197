import { tidyConversations } from '@/features/chat/conversations';
import { tendStock } from '@/features/chat/session-stock';
import { deleteLeftSessions, saveSessions } from '@/features/chat/upstream-sessions';
import { settings } from '@/features/settings/settings';
import { type Outage, watched } from '@/platform/outage';
import { processState } from '@/platform/process-state';

/** What of the upstream sessions is done by the clock. */

const TICK_MS = 1_000;
const TEND_EVERY_TICKS = 5;
const TIDY_EVERY_TICKS = 60;

/** Done again and again, one at a time. */
interface Work extends Outage {
  running: Promise<void> | null;
}

interface Upkeep {
  timer: NodeJS.Timeout | null;
  ticks: number;
  /** Apart from each other: an upstream that hangs may hold up the deletions alone. */
  tidying: Work;
  deleting: Work;
  stop: AbortController;
}

function upkeep(): Upkeep {
  return processState<Upkeep>('session-upkeep', () => ({
    timer: null,
    ticks: 0,
    tidying: { running: null, failing: false },
    deleting: { running: null, failing: false },
    stop: new AbortController(),
  }));
}

/** Begins to delete sessions that were left, and to keep a stock of new ones. Safe to call again. */
export function startSessionUpkeep(): void {
  const state = upkeep();
  state.timer ??= setInterval(tick, TICK_MS, state).unref();
}

/** Ends it; a deletion under way is cut short. */
export async function stopSessionUpkeep(): Promise<void> {
  const state = upkeep();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
  state.stop.abort();
  await Promise.all([state.tidying.running, state.deleting.running]);
  saveSessions();
}

function tick(state: Upkeep): void {
  const { tidying, deleting, stop } = state;
  saveSessions();
  state.ticks += 1;
  const { ticks } = state;
  begin(tidying, 'upkeep of upstream sessions', () => tidy(ticks));
  begin(deleting, 'deletion of upstream sessions', () => deleteLeftSessions(stop.signal));
}

async function tidy(ticks: number): Promise<void> {
  if (ticks % TEND_EVERY_TICKS === 0) await tendStock();
  if (ticks % TIDY_EVERY_TICKS === 0) await tidyConversations(await settings(), Date.now());
}

function begin(work: Work, what: string, run: () => Promise<void>): void {
  work.running ??= watched(work, what, run).finally(() => {
    work.running = null;
  });
}
