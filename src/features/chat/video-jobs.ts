import type { Caller } from '@/features/chat/completion';
import { generateMedia, type MediaOrder, type MediaResult } from '@/features/chat/media-generation';
import { deleteMedia, findMedia, type Media } from '@/features/media/media';
import { settings } from '@/features/settings/settings';
import type { VideoJob as VideoJobRow } from '@/generated/prisma/client';
import type { VideoStatus } from '@/openai/videos';
import { Cancellation } from '@/platform/cancellation';
import { query } from '@/platform/db';
import { AppError, isAppError } from '@/platform/errors';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';
import { rowId } from '@/platform/row-id';

/**
 * The jobs of /v1/videos. Each has a row; the work itself is in the process that took the order, and
 * ends with it: what a stop leaves unfinished has failed, since nobody knows what it has cost.
 */

export type VideoJob = Omit<VideoJobRow, 'status'> & { status: VideoStatus };

/** What is to be filmed, and what of the order is only told back. */
export interface VideoOrder extends Omit<MediaOrder, 'kind'> {
  seconds: string;
  size: string;
}

/** How a job ended, for the one who logs it. */
export type VideoOutcome = { result: MediaResult } | { failure: unknown };

interface Running {
  cancellation: Cancellation;
  done: Promise<void>;
}

/** Further ones are refused: each holds an account for minutes. */
const MAX_RUNNING = 100;
const HOUR_MS = 3_600_000;
const RETRY_AFTER_MS = 60_000;
const ID = /^video_[0-9A-Z]{26}$/;
const CLEAN_AT_ONCE = 500;

const interrupted = {
  status: 'failed',
  errorCode: 'server_stopped',
  errorMessage: 'The server was stopped before the video was there. Order it again.',
};

function running(): Map<string, Running> {
  return processState('video-jobs', () => new Map<string, Running>());
}

/**
 * Takes an order and begins with it. `onEnd` is called once, when it is over.
 * @throws AppError `rate_limited` if too many are under way
 */
export async function createVideoJob(
  order: VideoOrder,
  caller: Omit<Caller, 'signal'>,
  onEnd: (outcome: VideoOutcome) => void | Promise<void>,
): Promise<VideoJob> {
  const jobs = running();
  if (jobs.size >= MAX_RUNNING) {
    throw new AppError('rate_limited', 'Too many videos are being made. Try again later.', {
      retryAfterMs: RETRY_AFTER_MS,
    });
  }
  const { videoRetentionHours } = await settings();
  const nowMs = Date.now();
  const { model, prompt, seconds, size } = order;
  const data = {
    id: `video_${rowId(nowMs)}`,
    apiKeyId: caller.key.id,
    ...{ model, prompt, seconds, size },
    status: 'queued',
    createdAt: new Date(nowMs),
    expiresAt:
      videoRetentionHours === null ? null : new Date(nowMs + videoRetentionHours * HOUR_MS),
  };
  const job = toJob(await query((db) => db.videoJob.create({ data })));
  const cancellation = new Cancellation();
  const done = run(job.id, order, { ...caller, signal: cancellation })
    .then(onEnd)
    .catch((error) => log().error({ videoJob: job.id, err: error }, 'video job: not noted'))
    .finally(() => jobs.delete(job.id));
  jobs.set(job.id, { cancellation, done });
  return job;
}

async function run(id: string, order: VideoOrder, caller: Caller): Promise<VideoOutcome> {
  try {
    await update(id, { status: 'in_progress' });
    const [result] = await generateMedia({ ...order, kind: 'video' }, 1, caller);
    const [media] = result?.media ?? [];
    if (!result || !media) throw new Error('no video came back');
    await update(id, { status: 'completed', mediaName: media.name, completedAt: new Date() });
    return { result };
  } catch (failure) {
    await update(id, caller.signal.aborted ? interrupted : failed(failure));
    return { failure };
  }
}

function failed(error: unknown) {
  const isShown = isAppError(error) && error.code !== 'internal';
  return {
    status: 'failed',
    errorCode: isShown ? (error.detail ?? error.code) : 'internal',
    errorMessage: isShown ? error.message : 'The server failed.',
  };
}

/** Not one that was deleted meanwhile. */
async function update(id: string, data: Partial<VideoJobRow>): Promise<void> {
  await query((db) => db.videoJob.updateMany({ where: { id }, data }));
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
    throw new AppError('not_found', `The video is not there: its job is ${status}.`, {
      param: 'id',
    });
  }
  const media = await findMedia('video', mediaName);
  if (media) return media;
  throw new AppError('not_found', 'The video is no longer there.', { param: 'id' });
}

/** Deletes a job with its video; one under way is given up. @throws AppError `not_found` */
export async function deleteVideoJob(id: string, apiKeyId: string): Promise<void> {
  const { mediaName } = await findVideoJob(id, apiKeyId);
  await query((db) => db.videoJob.deleteMany({ where: { id } }));
  running().get(id)?.cancellation.abort();
  const media = mediaName ? await findMedia('video', mediaName) : null;
  if (media) await deleteMedia(media.id);
}

/** Notes at the start that what an earlier process was about has failed. */
export async function failUnfinishedVideoJobs(): Promise<void> {
  const where = { status: { in: ['queued', 'in_progress'] } };
  const { count } = await query((db) => db.videoJob.updateMany({ where, data: interrupted }));
  if (count > 0) log().warn({ count }, 'video jobs were cut off by the last stop');
}

/** Gives up what is under way, and waits until that is noted. */
export async function stopVideoJobs(): Promise<void> {
  const jobs = [...running().values()];
  for (const { cancellation } of jobs) cancellation.abort();
  await Promise.all(jobs.map(({ done }) => done));
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

function toJob(row: VideoJobRow): VideoJob {
  return { ...row, status: row.status as VideoStatus };
}
