import { processState } from '@/platform/process-state';

interface Lifecycle {
  draining: boolean;
}

function lifecycle(): Lifecycle {
  return processState<Lifecycle>('lifecycle', () => ({ draining: false }));
}

/** True from the moment the server was told to stop: open streams go on, new work is refused. */
export function isDraining(): boolean {
  return lifecycle().draining;
}

/** Refuses new work from now on. */
export function beginDraining(): void {
  lifecycle().draining = true;
}
