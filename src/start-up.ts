import path from 'node:path';
import { saveCredentials } from '@/features/accounts/credentials';
import { startTokenRenewal, stopTokenRenewal } from '@/features/accounts/token-renewal';
import { startSessionUpkeep, stopSessionUpkeep } from '@/features/chat/upkeep';
import { failUnfinishedVideoJobs } from '@/features/chat/video-jobs';
import { stopVideoJobs } from '@/features/chat/video-work';
import { stopBucketUploads } from '@/features/media/bucket-uploads';
import { openDataFolder } from '@/features/settings/data-folder';
import { prepareFirstStart } from '@/features/transfer/first-start';
import { startJobs, stopJobs } from '@/jobs/scheduler';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { databaseFile, env } from '@/platform/env';
import { closeDispatchers } from '@/platform/http';
import { lockDataFolder } from '@/platform/lock';
import { gatherLogLines, log } from '@/platform/log';
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
  lockDataFolder(env().dataDir);
  // The database may lie elsewhere, where another server could find it.
  lockDataFolder(path.dirname(databaseFile()));
  await openDataFolder();
  await prepareFirstStart();
  await failUnfinishedVideoJobs();
  startWriteBehind();
  startTokenRenewal();
  startSessionUpkeep();
  startJobs();
  gatherLogLines();
}

const STEP_MS = 5_000;

/**
 * Ends what `startUp` began: jobs, cookies and rows that are not saved yet, connections, the
 * database. A step that fails or hangs (a database that another program holds) keeps no other back.
 */
export async function shutDown(): Promise<void> {
  await step('jobs', stopJobs);
  await step('video jobs', stopVideoJobs);
  await step('bucket uploads', stopBucketUploads);
  stopTokenRenewal();
  await step('sessions', stopSessionUpkeep);
  stopCachedTables();
  await step('cookies', saveCredentials);
  await step('write-behind', async () => {
    const rows = await stopWriteBehind();
    if (rows > 0) throw new Error(`${rows} rows could not be written`);
  });
  await step('connections', closeDispatchers);
  await step('database', closeDatabase);
}

async function step(name: string, run: () => Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  // It also keeps the process alive until the step has ended, whatever the step waits for.
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${STEP_MS} ms`)), STEP_MS);
  });
  try {
    await Promise.race([run(), late]);
  } catch (error) {
    log().error({ step: name, err: error }, 'stopping: a step failed');
  } finally {
    clearTimeout(timer);
  }
}
