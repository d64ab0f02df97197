import { setTimeout as sleep } from 'node:timers/promises';
import type { Lease } from '@/features/accounts/lease';
import type { Question } from '@/features/chat/question';
import { type Media, mediaUrl, saveMedia } from '@/features/media/media';
import { readMedia } from '@/features/media/open-media';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { downloadFile, type FileMetadata, listGeneratedFiles } from '@/gemini/files';
import { quotaKindOfFile } from '@/gemini/tools';
import type { ImageFormat } from '@/openai/chat';
import { mediaLink, mediaMarkdown } from '@/openai/media-links';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
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

/** Pauses before a file that is not ready, or whose download failed, is asked for again. */
const RETRY_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** Of one answer at the same time. */
const PARALLEL_DOWNLOADS = 3;
/** A larger picture is linked where it was to stand in the text. */
const MAX_INLINE_BYTES = 16 * 1_048_576;

/** Failures of a download that say nothing against a second one. */
const retriedFaults: ReadonlySet<string> = new Set(['upstream', 'truncated', 'egress', 'overload']);

/**
 * Fetches what an answer has made and keeps it, in the order in which it was named. A file that is
 * announced may be there a moment later only, and a download may break off: both are tried again.
 * What is neither picture nor video is left out.
 * @throws GeminiError if one can't be had; `ours` if it can't be stored
 */
export async function keepGenerated(
  lease: Lease,
  question: Question,
  sessionName: string,
  files: ReadonlyMap<string, Generated>,
  signal: CancelSignal,
): Promise<ShownMedia[]> {
  const toFetch = [...files].filter(([, { base64 }]) => base64 === undefined);
  const listed =
    toFetch.length === 0 ? [] : await listFiles(lease, sessionName, toFetch.length, signal);
  const byId = new Map(listed.map((metadata) => [metadata.fileId, metadata]));
  const kept = new Map<string, Media | null>();
  await inParallel(files, PARALLEL_DOWNLOADS, async ([id, file]) => {
    const known = byId.get(id);
    const fetch = (download: CancelSignal) =>
      file.base64 === undefined
        ? fetchFile(lease, known?.sessionName ?? sessionName, id, known?.mimeType, download)
        : decoded(file.base64, file.mimeType);
    kept.set(id, await keep(lease, question, file, known, fetch, signal));
  });
  return [...files.keys()].flatMap((id) => {
    const media = kept.get(id);
    return media ? [{ ...media, url: mediaUrl(media, question.mediaBaseUrl) }] : [];
  });
}

/**
 * How a medium stands in an answer's text after `before`: in markdown, as its address, or, a picture,
 * with its very bytes.
 */
export async function renderMedia(
  media: ShownMedia,
  before: string,
  format: ImageFormat,
): Promise<string> {
  const { kind, mimeType, bytes, url } = media;
  if (format === 'url') return mediaLink(before, url);
  if (format !== 'base64' || kind !== 'image' || bytes > MAX_INLINE_BYTES) {
    return mediaMarkdown(before, kind, url);
  }
  return mediaMarkdown(before, kind, `data:${mimeType};base64,${await base64Of(media)}`);
}

async function base64Of(media: Media): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readMedia(media)) pieces.push(piece);
  return Buffer.concat(pieces).toString('base64');
}

interface Fetched {
  declaredType: string | null;
  content: AsyncIterable<Uint8Array>;
}

/** The list is a help and no must (protocol 14): without it the answer's own words count. */
async function listFiles(
  lease: Lease,
  sessionName: string,
  count: number,
  signal: CancelSignal,
): Promise<FileMetadata[]> {
  const { connection } = lease;
  try {
    const list = await lease.call((identity) =>
      listGeneratedFiles(connection, identity, sessionName, signal),
    );
    if (list.length >= count) return list;
    await pause(RETRY_AFTER_MS[0] ?? 0, signal);
    return await lease.call((identity) =>
      listGeneratedFiles(connection, identity, sessionName, signal),
    );
  } catch (error) {
    if (signal.aborted || !isGeminiError(error)) throw error;
    return [];
  }
}

async function fetchFile(
  lease: Lease,
  sessionName: string,
  fileId: string,
  listedType: string | null | undefined,
  signal: CancelSignal,
): Promise<Fetched> {
  const { connection } = lease;
  const file = { sessionName, fileId };
  const { mimeType, content } = await lease.call((identity) =>
    downloadFile(connection, identity, file, signal),
  );
  return { declaredType: listedType ?? mimeType, content };
}

async function decoded(base64: string, mimeType: string): Promise<Fetched> {
  const bytes = Buffer.from(base64, 'base64');
  return {
    declaredType: mimeType,
    content: (async function* () {
      yield bytes;
    })(),
  };
}

async function keep(
  lease: Lease,
  { origin }: Question,
  file: Generated,
  known: FileMetadata | undefined,
  fetch: (download: CancelSignal) => Promise<Fetched>,
  signal: CancelSignal,
): Promise<Media | null> {
  const said = [known?.mimeType, file.mimeType];
  for (let tries = 0; ; tries += 1) {
    const download = new Cancellation();
    const abort = () => download.abort();
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      const { declaredType, content } = await fetch(download);
      const about = { declaredType, accountId: lease.account.id, ...origin };
      const media = await saveMedia(content, about);
      // What the answer called something else was not counted yet.
      if (quotaKindOfFile(file.mimeType) === null) lease.served(`${media.kind}s`);
      return media;
    } catch (error) {
      if (isUnfit(error)) {
        log().warn({ said }, 'a generated file is neither picture nor video');
        if (said.every((type) => !type || quotaKindOfFile(type) === null)) return null;
        throw new GeminiError('upstream', 'A generated file is not what it is said to be.', {
          reason: 'UNFIT_MEDIA',
        });
      }
      const waitMs = RETRY_AFTER_MS[tries];
      const isRetried = isGeminiError(error) && retriedFaults.has(error.fault);
      if (!isRetried || waitMs === undefined || signal.aborted) throw error;
      await pause(waitMs, signal);
    } finally {
      signal.removeEventListener('abort', abort);
      // Also when nobody has begun to read.
      abort();
    }
  }
}

function isUnfit(error: unknown): boolean {
  return isAppError(error) && error.detail === 'unfit_media';
}

/** @throws GeminiError `client_left` if the signal fires */
async function pause(ms: number, signal: CancelSignal): Promise<void> {
  const abort = new AbortController();
  const onAbort = () => abort.abort();
  signal.addEventListener('abort', onAbort);
  try {
    if (!signal.aborted) await sleep(ms, undefined, { signal: abort.signal });
  } catch {
    // Told below.
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  if (signal.aborted) throw new GeminiError('client_left', 'The caller left.');
}
