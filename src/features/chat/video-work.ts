import { Readable } from 'node:stream';
import { isBeingServed, type Trace } from '@/features/accounts/trace';
import type { Caller } from '@/features/chat/completion';
import {
  checkOrder,
  generateMedia,
  type MediaOrder,
  type MediaResult,
} from '@/features/chat/media-generation';
import { inTurn } from '@/features/chat/video-queue';
import { discardIncoming, receiveTemporary } from '@/features/files/receive';
import type { VideoJob as VideoJobRow } from '@/generated/prisma/client';
import type { ChatAttachment } from '@/openai/attachments';
import { Cancellation, type CancelSignal, pause } from '@/platform/cancellation';
import { query } from '@/platform/db';
import { AppError, isAppError } from '@/platform/errors';
import type { IncomingFile } from '@/platform/incoming-file';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/**
 * The work on the jobs of /v1/videos. It is in the process that took the order, and ends with it: what
 * a stop leaves unfinished has failed, since nobody knows what it has cost.
 */

/** What is to be filmed, and what of the order is only told back. */
export interface VideoOrder extends Omit<MediaOrder, 'kind'> {
  seconds: string;
  size: string;
}

/** How a job ended, for the one who logs it. */
export type VideoOutcome = { result: MediaResult } | { failure: unknown };

type OnEnd = (outcome: VideoOutcome) => void | Promise<void>;

interface Work {
  keyId: string;
  cancellation: Cancellation;
  trace: Trace;
  /** Resolves when it is over and noted, or was never begun. */
  done: Promise<void>;
}

/** What the work needs once its request is over. */
interface Opened<T> {
  job: T;
  order: VideoOrder;
  /** Its own, to be discarded at its end. */
  files: IncomingFile[];
}

/** Further ones are refused. */
const MAX_OPEN = 100;
/** One key may not have all of them. */
const MAX_OPEN_OF_KEY = 50;
const RETRY_AFTER_MS = 60_000;
const NOTE_AGAIN_MS = 10_000;
const UNKNOWN_TYPE = 'application/octet-stream';

/** What the row of a job says whose work was cut off. */
export const interrupted = {
  status: 'failed',
  errorCode: 'server_stopped',
  errorMessage: 'The server was stopped before the video was there. Order it again.',
};

function works(): Map<string, Work> {
  return processState('video-work', () => new Map<string, Work>());
}

/** Whether an account works on the job now; false while it waits, and when it is over. */
export function isAtWork(id: string): boolean {
  const work = works().get(id);
  return work !== undefined && isBeingServed(work.trace);
}

/** Gives up the work on a job, if it is not over, and waits until that is noted. */
export async function giveUp(id: string): Promise<void> {
  const work = works().get(id);
  work?.cancellation.abort();
  await work?.done;
}

/** Gives up all work, and waits until that is noted. */
export async function stopVideoJobs(): Promise<void> {
  await Promise.all([...works().keys()].map(giveUp));
}

/**
 * Checks an order, has `addRow` write the row of its job, and begins. What comes of it stands in the
 * row; then `onEnd` is called, once. The work outlives the request, and holds nothing of its body.
 * @throws AppError `rate_limited` if too many are open; `storage_full`; as `checkOrder` and `addRow`
 */
export async function beginWork<T>(
  id: string,
  order: VideoOrder,
  caller: Omit<Caller, 'signal'>,
  addRow: () => Promise<T>,
  onEnd: OnEnd,
): Promise<T> {
  const all = works();
  const keyId = caller.key.id;
  const ofKey = [...all.values()].filter((work) => work.keyId === keyId).length;
  if (all.size >= MAX_OPEN || ofKey >= MAX_OPEN_OF_KEY) {
    throw new AppError('rate_limited', 'Too many videos are being made. Try again later.', {
      retryAfterMs: RETRY_AFTER_MS,
    });
  }
  const cancellation = new Cancellation();
  const mediaBaseUrl = caller.mediaBaseUrl();
  const absent = { ...caller, mediaBaseUrl: () => mediaBaseUrl, signal: cancellation };
  const opening = open(order, absent, addRow);
  const done = opening
    .then(
      ({ order: kept, files }) => carryOut(id, kept, files, absent, onEnd),
      () => {},
    )
    .finally(() => all.delete(id));
  // Before anything was waited for: a burst must not pass the limit.
  all.set(id, { keyId, cancellation, trace: caller.trace, done });
  return (await opening).job;
}

async function open<T>(
  order: VideoOrder,
  caller: Caller,
  addRow: () => Promise<T>,
): Promise<Opened<T>> {
  const files: IncomingFile[] = [];
  try {
    const attachments: ChatAttachment[] = [];
    for (const attachment of await checkOrder({ ...order, kind: 'video' }, caller)) {
      attachments.push(await toDisk(attachment, files));
    }
    return { job: await addRow(), order: { ...order, attachments }, files };
  } catch (error) {
    await discardAll(files);
    throw error;
  }
}

/** What came within the request would stay in memory, counted by nobody, as long as the job. */
async function toDisk(attachment: ChatAttachment, files: IncomingFile[]): Promise<ChatAttachment> {
  if (attachment.source !== 'inline') return attachment;
  const { bytes, mimeType, name, param } = attachment;
  const byteCount = bytes.byteLength;
  const file = await receiveTemporary(Readable.from([bytes]), byteCount);
  files.push(file);
  const { path } = file;
  return { source: 'local', mimeType: mimeType ?? UNKNOWN_TYPE, path, byteCount, name, param };
}

async function discardAll(files: readonly IncomingFile[]): Promise<void> {
  for (const file of files) await discardIncoming(file);
}

/** Never fails: what goes wrong stands in the row or in the log. */
async function carryOut(
  id: string,
  order: VideoOrder,
  files: IncomingFile[],
  caller: Caller,
  onEnd: OnEnd,
): Promise<void> {
  const { signal } = caller;
  const outcome = await film(order, caller);
  await note(id, endOf(outcome, signal), signal);
  for (const end of [async () => onEnd(outcome), () => discardAll(files)]) {
    await end().catch((error) =>
      log().error({ videoJob: id, err: error }, 'video job: no clean end'),
    );
  }
}

async function film(order: VideoOrder, caller: Caller): Promise<VideoOutcome> {
  const once = async () => {
    const [result] = await generateMedia({ ...order, kind: 'video' }, 1, caller);
    if (!result) throw new Error('no video came back');
    return result;
  };
  try {
    return { result: await inTurn(once, caller.signal) };
  } catch (failure) {
    return { failure };
  }
}

function endOf(outcome: VideoOutcome, { aborted }: CancelSignal): Partial<VideoJobRow> {
  if ('failure' in outcome) return aborted ? interrupted : failed(outcome.failure);
  const mediaName = outcome.result.media[0]?.name ?? null;
  return { status: 'completed', mediaName, completedAt: new Date() };
}

function failed(error: unknown) {
  const isShown = isAppError(error) && error.code !== 'internal';
  return {
    status: 'failed',
    errorCode: isShown ? (error.detail ?? error.code) : 'internal',
    errorMessage: isShown ? error.message : 'The server failed.',
  };
}

/** Its caller asks again and again, so it is tried until the database takes it, or the server stops. */
async function note(id: string, data: Partial<VideoJobRow>, signal: CancelSignal): Promise<void> {
  for (;;) {
    try {
      // Not `update`, which fails if it was deleted meanwhile.
      await query((db) => db.videoJob.updateMany({ where: { id }, data }));
      return;
    } catch (error) {
      log().error({ videoJob: id, err: error }, 'video job: its end could not be noted');
      if (signal.aborted) return;
      await pause(NOTE_AGAIN_MS, signal);
    }
  }
}
