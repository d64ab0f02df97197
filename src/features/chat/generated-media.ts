import { Readable } from 'node:stream';
import type { Lease } from '@/features/accounts/lease';
import { MEDIA_LOST } from '@/features/accounts/rest-rules';
import type { Question } from '@/features/chat/question';
import { type Media, mediaUrl, saveMedia } from '@/features/media/media';
import { base64OfMedia } from '@/features/media/open-media';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { type Download, downloadFile, type FileMetadata, listGeneratedFiles } from '@/gemini/files';
import { quotaKindOfFile } from '@/gemini/tools';
import { mediaLink, mediaMarkdown } from '@/openai/media-links';
import { Cancellation, type CancelSignal, pause } from '@/platform/cancellation';
import { isAppError } from '@/platform/errors';
import { log } from '@/platform/log';
import { inParallel } from '@/platform/parallel';

/** A file that an answer has made: to be fetched by its id, or here already. */
export interface Generated {
  /** As the answer says, which may be wrong (protocol 12.5). */
  mimeType: string;
  base64?: string;
}

/** A kept picture or video, and its address. */
export interface ShownMedia extends Media {
  url: string;
}

/** Pauses before a file that is not ready, or whose download broke off, is asked for again. */
const RETRY_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** Of one answer at the same time. */
const PARALLEL_DOWNLOADS = 3;
/** A larger picture is linked where it was to stand in the text. */
const MAX_INLINE_BYTES = 16 * 1_048_576;

/** Words for a download that may do better the next time, beside broken connections and a 5xx. */
const retriedReasons: ReadonlySet<string> = new Set([
  'FILE_NOT_READY',
  'NO_BYTES',
  'connection_lost',
]);

/** What came of a generated file: kept, or, as neither picture nor video, only told of by its type. */
export type Kept = ShownMedia | { unkept: string };

/**
 * Fetches what an answer has made and keeps it, in the order in which it was named. A file that is
 * announced may be there a moment later only, and a download may break off: both are tried again, all
 * files together for as long as one download may take.
 * @throws GeminiError `upstream` with reason `MEDIA_LOST` if one can't be had, `client_left`; AppError
 *   `storage_full`
 */
export async function keepGenerated(
  lease: Lease,
  question: Question,
  sessionName: string,
  files: ReadonlyMap<string, Generated>,
  signal: CancelSignal,
): Promise<Kept[]> {
  const download = new Cancellation();
  const end = () => download.abort();
  const timer = setTimeout(end, question.settings.downloadTimeoutMs);
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  const work = { lease, question, sessionName, signal: download };
  try {
    return await keepAll(work, files);
  } catch (error) {
    if (isAppError(error)) throw error;
    if (signal.aborted) throw new GeminiError('client_left', 'The caller left.', { cause: error });
    throw new GeminiError('upstream', 'A generated file can not be had.', {
      reason: MEDIA_LOST,
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    // Whatever is still under way.
    end();
  }
}

/** All that the files of one answer have in common. */
interface Work {
  lease: Lease;
  question: Question;
  /** Of the session that has them. */
  sessionName: string;
  /** Ends all of it. */
  signal: Cancellation;
}

async function keepAll(work: Work, files: ReadonlyMap<string, Generated>): Promise<Kept[]> {
  const toFetch = [...files].flatMap(([id, { base64 }]) => (base64 === undefined ? [id] : []));
  const listed = toFetch.length === 0 ? [] : await listFiles(work, toFetch);
  const byId = new Map(listed.map((metadata) => [metadata.fileId, metadata]));
  const kept = new Map<string, Kept>();
  await inParallel(files, PARALLEL_DOWNLOADS, async ([id, file]) => {
    try {
      kept.set(id, await keep(work, id, file, byId.get(id)));
    } catch (error) {
      // The answer has failed: nobody needs the others.
      work.signal.abort();
      throw error;
    }
  });
  return [...files.keys()].flatMap((id) => kept.get(id) ?? []);
}

/** The line in an answer's text for a file that is not kept, after `before`. */
export function unkeptLine(before: string, mimeType: string): string {
  return mediaLink(before, `[a generated file, ${mimeType}, which is not kept]`);
}

/**
 * How a medium stands in an answer's text after `before`: in markdown, as its address, or, a picture
 * for which there is memory, with its very bytes.
 */
export async function renderMedia(
  media: ShownMedia,
  before: string,
  { imageFormat, mayInline }: Pick<Question, 'imageFormat' | 'mayInline'>,
): Promise<string> {
  const { kind, mimeType, bytes, url } = media;
  if (imageFormat === 'url') return mediaLink(before, url);
  const isInline = imageFormat === 'base64' && kind === 'image' && bytes <= MAX_INLINE_BYTES;
  if (!isInline || !mayInline(bytes)) return mediaMarkdown(before, kind, url);
  return mediaMarkdown(before, kind, `data:${mimeType};base64,${await base64OfMedia(media)}`);
}

/** The list is a help and no must (protocol 14): without it the answer's own words count. */
async function listFiles(
  { lease, sessionName, signal }: Work,
  ids: string[],
): Promise<FileMetadata[]> {
  const { connection } = lease;
  const list = () =>
    lease.call((identity) => listGeneratedFiles(connection, identity, sessionName, signal));
  try {
    const found = await list();
    const isWhole = ids.every((id) => found.some(({ fileId }) => fileId === id));
    if (isWhole) return found;
    await pause(RETRY_AFTER_MS[0] ?? 0, signal);
    if (signal.aborted) throw new GeminiError('client_left', 'The caller left.');
    return await list();
  } catch (error) {
    if (signal.aborted || !isGeminiError(error)) throw error;
    return [];
  }
}

/** One file, tried again as long as it may do better. */
async function keep(
  work: Work,
  id: string,
  file: Generated,
  known: FileMetadata | undefined,
): Promise<Kept> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await keepOnce(work, id, file, known);
    } catch (error) {
      const waitMs = RETRY_AFTER_MS[tries];
      if (!mayDoBetter(error) || waitMs === undefined || work.signal.aborted) throw error;
      await pause(waitMs, work.signal);
      if (work.signal.aborted) throw error;
    }
  }
}

function mayDoBetter(error: unknown): boolean {
  if (!isGeminiError(error)) return false;
  const { fault, reason, status } = error;
  if (fault === 'truncated' || fault === 'overload') return true;
  if (fault === 'egress') return reason !== 'timeout';
  return (status ?? 0) >= 500 || retriedReasons.has(reason ?? '');
}

async function keepOnce(
  { lease, question, sessionName, signal }: Work,
  id: string,
  file: Generated,
  known: FileMetadata | undefined,
): Promise<Kept> {
  const { content, mimeType } =
    file.base64 === undefined
      ? await fetchFile(lease, known?.sessionName ?? sessionName, id, signal)
      : { content: Readable.from([Buffer.from(file.base64, 'base64')]), mimeType: file.mimeType };
  const declaredType = known?.mimeType ?? mimeType;
  const about = { declaredType, accountId: lease.account.id, ...question.origin };
  try {
    const media = await saveMedia(content, about, signal);
    // What the answer called something else was not counted yet.
    if (quotaKindOfFile(file.mimeType) === null) lease.served(`${media.kind}s`);
    return { ...media, url: mediaUrl(media, question.mediaBaseUrl()) };
  } catch (error) {
    if (!isUnfit(error)) throw error;
    const types = [known?.mimeType, file.mimeType];
    const account = lease.account.label;
    log().warn({ account, types }, 'a generated file is neither picture nor video');
    if (types.every((type) => !type || quotaKindOfFile(type) === null)) {
      return { unkept: known?.mimeType ?? file.mimeType };
    }
    throw new GeminiError('upstream', 'A generated file is not what it is said to be.', {
      cause: error,
    });
  }
}

function fetchFile(
  lease: Lease,
  sessionName: string,
  fileId: string,
  signal: CancelSignal,
): Promise<Download> {
  const { connection } = lease;
  const file = { sessionName, fileId };
  return lease.call((identity) => downloadFile(connection, identity, file, signal));
}

function isUnfit(error: unknown): boolean {
  return isAppError(error) && error.detail === 'unfit_media';
}
