import { randomUUID } from 'node:crypto';
import cron, { type ScheduledTask } from 'node-cron';
import { type Job, schedule } from '@/jobs/schedule';
import { endJobLease, takeJobLease } from '@/platform/job-lease';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

interface SchedulerState {
  holder: string;
  tasks: ScheduledTask[];
  running: Map<string, { abort: AbortController; done: Promise<void> }>;
}

function scheduler(): SchedulerState {
  return processState<SchedulerState>('scheduler', () => ({
    holder: randomUUID(),
    tasks: [],
    running: new Map(),
  }));
}

/** Starts all jobs of the schedule, once per process. */
export function startJobs(): void {
  const state = scheduler();
  if (state.tasks.length > 0) return;
  state.tasks = schedule.map((job) =>
    cron.schedule(job.cron, () => runJob(job), { name: job.name, noOverlap: true }),
  );
}

/** Stops the clock and waits for what still runs, which is told to end. */
export async function stopJobs(): Promise<void> {
  const { tasks, running } = scheduler();
  await Promise.all(tasks.map((task) => task.stop()));
  for (const { abort } of running.values()) abort.abort();
  await Promise.all([...running.values()].map(({ done }) => done));
}

/** Runs a job now, under its lease and within its time, with one line in the log. */
export async function runJob(job: Job): Promise<void> {
  const { running } = scheduler();
  if (running.has(job.name)) return;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), job.timeoutMs);
  const done = runLeased(job, abort.signal).finally(() => {
    clearTimeout(timer);
    running.delete(job.name);
  });
  running.set(job.name, { abort, done });
  await done;
}

async function runLeased(job: Job, signal: AbortSignal): Promise<void> {
  const { holder } = scheduler();
  const startedAtMs = Date.now();
  try {
    if (!(await takeJobLease(job.name, holder, startedAtMs, startedAtMs + job.timeoutMs))) return;
    const result = await job.run(signal);
    await endJobLease(job.name, holder, 'ok');
    log().info({ job: job.name, durationMs: Date.now() - startedAtMs, ...result }, 'job done');
  } catch (error) {
    log().error({ job: job.name, durationMs: Date.now() - startedAtMs, err: error }, 'job failed');
    await endJobLease(job.name, holder, 'failed').catch(() => {});
  }
}
