import { mkdirSync } from 'node:fs';
import { openDataFolder } from '@/features/settings/data-folder';
import { prepareFirstStart } from '@/features/transfer/first-start';
import { startJobs, stopJobs } from '@/jobs/scheduler';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { env } from '@/platform/env';
import { closeDispatchers } from '@/platform/http';
import { lockDataFolder } from '@/platform/lock';
import { processState } from '@/platform/process-state';
import { startWriteBehind, stopWriteBehind } from '@/platform/write-behind';

/**
 * Everything between an empty process and one that can take requests, once per process, whichever
 * way in comes first: the custom server or Next's instrumentation hook.
 * @throws AppError with a message for the operator
 */
export function startUp(): Promise<void> {
  return processState('start-up', run);
}

async function run(): Promise<void> {
  const { dataDir } = env();
  mkdirSync(/*turbopackIgnore: true*/ dataDir, { recursive: true, mode: 0o700 });
  lockDataFolder(dataDir);
  await openDataFolder();
  await prepareFirstStart();
  startWriteBehind();
  startJobs();
}

/** Ends what `startUp` began: jobs, the queue of writes (flushed), connections, the database. */
export async function shutDown(): Promise<void> {
  await stopJobs();
  stopCachedTables();
  await stopWriteBehind();
  await closeDispatchers();
  await closeDatabase();
}
