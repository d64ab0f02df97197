/**
 * Preloaded into the server that is soaked (`node --import`): measures how late the event loop runs
 * its timers. The values hold the sampling interval, too. Over IPC, `reset` begins anew and `read`
 * is answered with a `LoopDelay`.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface LoopDelay {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const RESOLUTION_MS = 10;
const NANOSECONDS = 1_000_000;

const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
histogram.enable();

process.on('message', (order) => {
  if (order === 'reset') histogram.reset();
  if (order !== 'read') return;
  const delay: LoopDelay = {
    p50Ms: histogram.percentile(50) / NANOSECONDS,
    p99Ms: histogram.percentile(99) / NANOSECONDS,
    maxMs: histogram.max / NANOSECONDS,
  };
  process.send?.(delay);
});
// The server must be able to end while we listen.
process.channel?.unref();
