import type { Caller } from '@/features/chat/completion';
import {
  beginWork,
  giveUp,
  interrupted,
  isAtWork,
  type VideoOrder,
  type VideoOutcome,
} from '@/features/chat/video-work';
import { deleteMedia, findMedia, type Media } from '@/features/media/media';
import { settings } from '@/features/settings/settings';
import type { VideoJob as VideoJobRow } from '@/generated/prisma/client';
import type { VideoStatus } from '@/openai/videos';
import { query } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { log } from '@/platform/log';
import { rowId } from '@/platform/row-id';

/** The jobs of /v1/videos: a row each. `video-work.ts` carries them out. */

export type VideoJob = Omit<VideoJobRow, 'status'> & { status: VideoStatus };

const HOUR_MS = 3_600_000;
const ID = /^video_[0-9A-Z]{26}$/;
const CLEAN_AT_ONCE = 500;

/**
 * Takes an order, which is carried out when it is its turn and an account is free. `onEnd` is called
 * once, when it is over, unless the order was not taken.
 * @throws AppError `rate_limited` if too many are open; `model_not_found`, `model_not_allowed` or
 *   `not_found` for what it names; `storage_full`
 */
export function createVideoJob(
  order: VideoOrder,
  caller: Omit<Caller, 'signal'>,
  onEnd: (outcome: VideoOutcome) => void | Promise<void>,
): Promise<VideoJob> {
  const id = `video_${rowId(Date.now())}`;
  const apiKeyId = caller.key.id;
  return beginWork(id, order, caller, () => addRow(id, order, apiKeyId), onEnd);
}

async function addRow(id: string, order: VideoOrder, apiKeyId: string): Promise<VideoJob> {
  const { videoRetentionHours: hours } = await settings();
  const { model, prompt, seconds, size } = order;
  const nowMs = Date.now();
  const data = {
    ...{ id, apiKeyId, model, prompt, seconds, size },
    status: 'queued',
    createdAt: new Date(nowMs),
    expiresAt: hours === null ? null : new Date(nowMs + hours * HOUR_MS),
  };
  return toJob(await query((db) => db.videoJob.create({ data })));
}

/** @throws AppError `not_found`, also for a job of another key */
export async function findVideoJob(id: string, apiKeyId: string): Promise<VideoJob> {
  const row = ID.test(id)
    ? await query((db) => db.videoJob.findFirst({ where: { id, apiKeyId } }))
    : null;
  if (!row) throw new AppError('not_found', 'There is no such video.', { param: 'id' });
  return toJob(row);
}

/** A page of a key's jobs; `after` is the last one of the page before. */
export async function listVideoJobs(
  apiKeyId: string,
  { after, limit, order }: { after: string | null; limit: number; order: 'asc' | 'desc' },
): Promise<{ jobs: VideoJob[]; hasMore: boolean }> {
  const beyond = after === null ? {} : { id: order === 'asc' ? { gt: after } : { lt: after } };
  const rows = await query((db) =>
    db.videoJob.findMany({
      where: { apiKeyId, ...beyond },
      orderBy: { id: order },
      take: limit + 1,
    }),
  );
  return { jobs: rows.slice(0, limit).map(toJob), hasMore: rows.length > limit };
}

/**
 * The video of a job.
 * @throws AppError `not_found` as long as it is not there, and when it is no longer
 */
export async function videoOf({ status, mediaName }: VideoJob): Promise<Media> {
  if (status !== 'completed' || !mediaName) {
    throw new AppError('not_found', `The video is not there: the status of its job is ${status}.`, {
      param: 'id',
    });
  }
  const media = await findMedia('video', mediaName);
  if (media) return media;
  throw new AppError('not_found', 'The video is no longer there.', { param: 'id' });
}

/**
 * Deletes a job with its video; one that is not over is given up.
 * @throws AppError `not_found`; as `deleteMedia`: the job stays then, to be deleted again
 */
export async function deleteVideoJob(id: string, apiKeyId: string): Promise<void> {
  await findVideoJob(id, apiKeyId);
  await giveUp(id);
  // The video may have been there just in time.
  const { mediaName } = await findVideoJob(id, apiKeyId);
  const media = mediaName ? await findMedia('video', mediaName) : null;
  if (media) await deleteMedia(media.id);
  await query((db) => db.videoJob.deleteMany({ where: { id } }));
}

/** Notes at the start that what an earlier process was about has failed. */
export async function failUnfinishedVideoJobs(): Promise<void> {
  const where = { status: { in: ['queued', 'in_progress'] } };
  const { count } = await query((db) => db.videoJob.updateMany({ where, data: interrupted }));
  if (count > 0) log().warn({ count }, 'video jobs were cut off by the last stop');
}

/** Deletes the rows of jobs that are over; their videos go by their own age. @returns how many */
export async function cleanVideoJobs(nowMs: number, signal: AbortSignal): Promise<number> {
  let cleaned = 0;
  while (!signal.aborted) {
    const rows = await query((db) =>
      db.videoJob.findMany({
        where: { expiresAt: { lt: new Date(nowMs) } },
        take: CLEAN_AT_ONCE,
        select: { id: true },
      }),
    );
    const ids = rows.map(({ id }) => id);
    await query((db) => db.videoJob.deleteMany({ where: { id: { in: ids } } }));
    cleaned += ids.length;
    if (ids.length < CLEAN_AT_ONCE) break;
  }
  return cleaned;
}

/** A row knows the end alone: what is before it changes often, and with this process. */
function toJob(row: VideoJobRow): VideoJob {
  const isInProgress = row.status === 'queued' && isAtWork(row.id);
  return { ...row, status: isInProgress ? 'in_progress' : (row.status as VideoStatus) };
}
