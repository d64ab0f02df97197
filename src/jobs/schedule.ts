import { cleanVideoJobs } from '@/features/chat/video-jobs';
import { cleanFiles } from '@/features/files/clean-files';
import { cleanMedia } from '@/features/media/clean-media';
import { settings } from '@/features/settings/settings';
import { pruneRequestLogs, pruneUsageDaily } from '@/features/usage/usage';

/** A job of the clock. */
export interface Job {
  name: string;
  /** When, as cron text with seconds. */
  cron: string;
  /** After this it is told to stop, and another process may take the lease. */
  timeoutMs: number;
  /** @returns what is worth a word in the log */
  run(signal: AbortSignal): Promise<Record<string, unknown>>;
}

/** All jobs. The only place that knows what runs when. */
export const schedule: Job[] = [
  {
    name: 'prune-request-logs',
    cron: '0 17 * * * *',
    timeoutMs: 5 * 60_000,
    async run(signal) {
      const { logRetentionDays } = await settings();
      return { pruned: await pruneRequestLogs(logRetentionDays, Date.now(), signal) };
    },
  },
  {
    name: 'prune-usage',
    cron: '0 27 * * * *',
    timeoutMs: 5 * 60_000,
    async run(signal) {
      const { usageRetentionDays } = await settings();
      return { pruned: await pruneUsageDaily(usageRetentionDays, Date.now(), signal) };
    },
  },
  {
    name: 'clean-video-jobs',
    cron: '0 47 * * * *',
    timeoutMs: 5 * 60_000,
    run: async (signal) => ({ cleaned: await cleanVideoJobs(Date.now(), signal) }),
  },
  {
    name: 'clean-files',
    cron: '0 37 * * * *',
    timeoutMs: 10 * 60_000,
    run: (signal) => cleanFiles(Date.now(), signal),
  },
  {
    name: 'clean-media',
    cron: '45 */10 * * * *',
    timeoutMs: 10 * 60_000,
    run: async (signal) => ({ ...(await cleanMedia(Date.now(), signal)) }),
  },
];
