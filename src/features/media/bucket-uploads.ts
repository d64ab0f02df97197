import { setTimeout as sleep } from 'node:timers/promises';
import { deleteObject, objectName, putObject } from '@/features/media/bucket';
import { mediaFile } from '@/features/media/media-folder';
import { startReading } from '@/features/media/media-readers';
import type { MediaType } from '@/features/media/media-type';
import { type BucketConfig, bucketConfig } from '@/features/media/storage-config';
import { query } from '@/platform/db';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/**
 * What is made goes to the bucket after the answer, which does not depend on it. The row is noted
 * before an upload, so that nothing can be there of which no row knows.
 */

const AT_ONCE = 2;
/** Further ones stay on our disk alone: the bucket does not keep pace. */
const MAX_WAITING = 1_000;
/** At a stop, what is under way may end; less than a step of the stop takes. */
const FLUSH_MS = 3_000;

/** A medium whose row and file are there. */
interface Uploaded {
  id: string;
  kind: MediaType['kind'];
  name: string;
  mimeType: string;
}

interface Uploads {
  waiting: Uploaded[];
  running: Set<Promise<void>>;
  stop: AbortController;
}

function uploads(): Uploads {
  return processState<Uploads>('bucket-uploads', () => ({
    waiting: [],
    running: new Set(),
    stop: new AbortController(),
  }));
}

/** Has a medium uploaded in its turn if there is a bucket. What fails goes to the log. */
export function uploadLater(media: Uploaded): void {
  const { waiting, stop } = uploads();
  if (stop.signal.aborted) return;
  if (waiting.length >= MAX_WAITING) {
    tellAlone(media, new Error(`${MAX_WAITING} others wait for the bucket`));
    return;
  }
  waiting.push(media);
  runNext();
}

function runNext(): void {
  const { waiting, running, stop } = uploads();
  if (running.size >= AT_ONCE) return;
  const media = waiting.shift();
  if (!media) return;
  const run = upload(media, stop.signal)
    .catch((error) =>
      log().error({ mediaId: media.id, err: error }, 'upload to the bucket: not noted'),
    )
    .finally(() => {
      running.delete(run);
      runNext();
    });
  running.add(run);
}

/** Resolves once no upload runs or waits. */
export async function bucketUploadsDone(): Promise<void> {
  const { running } = uploads();
  while (running.size > 0) await Promise.all(running);
}

/** Ends the uploads: what is not there within a moment is given up, and stays on our disk alone. */
export async function stopBucketUploads(): Promise<void> {
  const { waiting, stop } = uploads();
  const inTime = new AbortController();
  const late = sleep(FLUSH_MS, undefined, { signal: inTime.signal }).catch(() => {});
  await Promise.race([bucketUploadsDone(), late]);
  inTime.abort();
  if (waiting.length > 0) {
    log().warn({ count: waiting.length }, 'media are kept on our disk alone: the server stops');
    waiting.length = 0;
  }
  stop.abort();
  await bucketUploadsDone();
}

async function upload(media: Uploaded, signal: AbortSignal): Promise<void> {
  const stopReading = startReading(media.name);
  let config: BucketConfig | null = null;
  try {
    config = await bucketConfig();
    if (!config || !(await note(media, true))) return;
    const file = { path: mediaFile(media.kind, media.name), mimeType: media.mimeType };
    await putObject(config, objectName(media), file, signal);
    // It was deleted meanwhile, when there was no object yet.
    if (!(await note(media, true))) await deleteObject(config, objectName(media));
  } catch (error) {
    tellAlone(media, error);
    // What a stop cuts off keeps its note: whether an object came to be, nobody knows.
    if (!config || signal.aborted) return;
    // Some of what fails is there all the same.
    await deleteObject(config, objectName(media)).catch(() => {});
    await note(media, false);
  } finally {
    stopReading?.();
  }
}

/** @returns whether the medium still has a row */
async function note({ id }: Uploaded, inBucket: boolean): Promise<boolean> {
  const { count } = await query((db) => db.media.updateMany({ where: { id }, data: { inBucket } }));
  return count > 0;
}

function tellAlone(media: Uploaded, error: unknown): void {
  log().warn(
    { mediaId: media.id, where: 'bucket', err: error },
    'medium is kept on our disk alone',
  );
}
