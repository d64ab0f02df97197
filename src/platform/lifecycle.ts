import { processState } from '@/platform/process-state';

interface Lifecycle {
  draining: boolean;
  /** How to end what is still under way, one for each request. */
  openWork: Set<() => void>;
}

function lifecycle(): Lifecycle {
  return processState<Lifecycle>('lifecycle', () => ({ draining: false, openWork: new Set() }));
}

/** True from the moment the server was told to stop: open streams go on, new work is refused. */
export function isDraining(): boolean {
  return lifecycle().draining;
}

/** Refuses new work from now on. */
export function beginDraining(): void {
  lifecycle().draining = true;
}

/**
 * Registers work that a stop may have to cut short; `cut` is called once, then.
 * @returns what to call when the work has ended by itself
 */
export function registerWork(cut: () => void): () => void {
  const { openWork } = lifecycle();
  openWork.add(cut);
  return () => openWork.delete(cut);
}

/** Ends all work that is still under way: the time for the stop is over. */
export function cutOpenWork(): void {
  for (const cut of lifecycle().openWork) cut();
}
