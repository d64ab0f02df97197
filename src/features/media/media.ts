import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { uploadLater } from '@/features/media/bucket-uploads';
import { uploadToCfbed } from '@/features/media/cfbed';
import { makeKindFolder, mediaFile, mediaFolder } from '@/features/media/media-folder';
import { startReading } from '@/features/media/media-readers';
import { type MediaType, mediaTypeOf } from '@/features/media/media-type';
import { removeStored } from '@/features/media/remove-stored';
import { cfbedConfig } from '@/features/media/storage-config';
import { settings } from '@/features/settings/settings';
import type { Media as MediaRow } from '@/generated/prisma/client';
import type { CancelSignal } from '@/platform/cancellation';
import { query, sqlTime } from '@/platform/db';
import { AppError, isAppError } from '@/platform/errors';
import { type IncomingFile, receiveFile } from '@/platform/incoming-file';
import { log } from '@/platform/log';
import { makeFolder } from '@/platform/make-folder';
import { rowId } from '@/platform/row-id';
import { writeLatestBehind } from '@/platform/write-behind';

const MARK_USED = `UPDATE "Media" SET "lastUsedAt" = ${sqlTime('"used".value->>1')}
  FROM json_each(?) AS "used" WHERE "Media"."id" = "used".value->>0`;
// The column of the size takes no more.
const MAX_BYTES = 2_147_483_647;
const MAX_PAGE = 1_000;
// What a ULID's time can say; of 0 the library makes the present.
const [FIRST_MS, LAST_MS] = [1, 2 ** 48 - 1];
const NAME = /^[0-9a-f]{32}\.[a-z0-9]{2,5}$/;

export type MediaKind = MediaType['kind'];

/** A generated image or video. */
export interface Media {
  id: string;
  kind: MediaKind;
  /** 128 random bits in hex and the extension: the last part of its address. */
  name: string;
  mimeType: string;
  bytes: number;
  modelId: string;
  accountId: string;
  apiKeyId: string;
  /** Where the image host has it; null: nowhere. */
  externalUrl: string | null;
  inBucket: boolean;
  createdAtMs: number;
  lastUsedAtMs: number;
}

/** What is known of a medium beside its content. */
export interface MediaOrigin {
  /** As the upstream said; only told in the log, since the content decides. */
  declaredType: string | null;
  modelId: string;
  accountId: string;
  apiKeyId: string;
}

/** The medium of a row. */
function toMedia({ createdAt, lastUsedAt, kind, ...row }: MediaRow): Media {
  return {
    ...row,
    kind: kind === 'video' ? 'video' : 'image',
    createdAtMs: createdAt.getTime(),
    lastUsedAtMs: lastUsedAt.getTime(),
  };
}

/**
 * Keeps what an answer made: on disk piece by piece, and with the image host if there is one, which
 * gives it its address; `signal` ends that. What fails there goes to the log, and the medium is given
 * at our own address. If there is a bucket, it gets a copy later.
 * @throws AppError `storage_full`; `upstream_error` if it is larger than all media may be, and with the
 *   detail `unfit_media` if it is neither an image nor a video that we keep; else what `content`
 *   throws. Nothing of it stays then.
 */
export async function saveMedia(
  content: AsyncIterable<Uint8Array>,
  origin: MediaOrigin,
  signal: CancelSignal,
): Promise<Media> {
  const { maxMediaBytes } = await settings();
  makeFolder(mediaFolder());
  const incoming = await receive(content, Math.min(maxMediaBytes, MAX_BYTES));
  const media = await keep(incoming, origin);
  const externalUrl = await storeWithImageHost(media, signal);
  uploadLater(media);
  return { ...media, externalUrl };
}

async function receive(
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<IncomingFile> {
  try {
    return await receiveFile(mediaFolder(), content, maxBytes);
  } catch (error) {
    if (!isAppError(error) || error.code !== 'payload_too_large') throw error;
    // Not the caller's doing.
    const message = `What was generated is larger than ${maxBytes} bytes.`;
    throw new AppError('upstream_error', message, { cause: error });
  }
}

async function keep(incoming: IncomingFile, origin: MediaOrigin): Promise<Media> {
  let file = incoming.path;
  try {
    const type = await mediaTypeOf(file);
    if (!type) throw unfit(origin.declaredType);
    const name = `${randomBytes(16).toString('hex')}.${type.extension}`;
    await makeKindFolder(type.kind);
    await rename(file, mediaFile(type.kind, name));
    file = mediaFile(type.kind, name);
    return await addRow(name, type, incoming.bytes, origin);
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

function unfit(declaredType: string | null): AppError {
  return new AppError('upstream_error', 'What was generated is neither an image nor a video.', {
    detail: 'unfit_media',
    cause: new Error(`declared as ${declaredType ?? 'nothing'}`),
  });
}

async function addRow(
  name: string,
  { kind, mimeType }: MediaType,
  bytes: number,
  { modelId, accountId, apiKeyId }: MediaOrigin,
): Promise<Media> {
  const nowMs = Date.now();
  const [id, now] = [rowId(nowMs), new Date(nowMs)];
  const times = { createdAt: now, lastUsedAt: now };
  const data = { id, kind, name, mimeType, bytes, modelId, accountId, apiKeyId, ...times };
  return toMedia(await query((db) => db.media.create({ data })));
}

/** @returns its address there; null if there is no image host, or it failed */
async function storeWithImageHost(media: Media, signal: CancelSignal): Promise<string | null> {
  const stopReading = startReading(media.name);
  try {
    const config = await cfbedConfig();
    if (!config || signal.aborted) return null;
    const file = { path: mediaFile(media.kind, media.name), ...media };
    const externalUrl = await uploadToCfbed(config, file, signal);
    // Not `update`, which fails if it was deleted meanwhile.
    const where = { id: media.id };
    await query((db) => db.media.updateMany({ where, data: { externalUrl } }));
    return externalUrl;
  } catch (error) {
    if (!signal.aborted) {
      const about = { mediaId: media.id, where: 'image host', err: error };
      log().warn(about, 'medium is kept on our disk alone');
    }
    return null;
  } finally {
    stopReading?.();
  }
}

/**
 * The address of a medium: the image host's, else ours below `baseUrl`, such as
 * `https://pool.example.com`.
 */
export function mediaUrl(media: Media, baseUrl: string): string {
  return media.externalUrl ?? `${baseUrl}/${media.kind}/${media.name}`;
}

/** The medium of that name, whose use this is; null if there is none, also for what is no name. */
export async function findMedia(kind: MediaKind, name: string): Promise<Media | null> {
  if (!NAME.test(name)) return null;
  const row = await query((db) => db.media.findUnique({ where: { name } }));
  if (row?.kind !== kind) return null;
  writeLatestBehind(MARK_USED, row.id, [row.id, Date.now()]);
  return toMedia(row);
}

/** What of the gallery is to be seen; what is left out does not narrow it. */
export interface MediaFilter {
  kind?: MediaKind | undefined;
  modelId?: string | undefined;
  accountId?: string | undefined;
  apiKeyId?: string | undefined;
  /** Made then or later. */
  fromMs?: number | undefined;
  /** Made before. */
  untilMs?: number | undefined;
  /** `nextCursor` of the page before. */
  after?: string | undefined;
  /** At most 1,000. */
  limit: number;
}

/** A page of the gallery, newest first; `nextCursor` is null on the last. */
export async function listMedia(
  filter: MediaFilter,
): Promise<{ items: Media[]; nextCursor: string | null }> {
  const { kind, modelId, accountId, apiKeyId, fromMs, untilMs, after } = filter;
  const limit = Math.min(Math.max(1, Math.trunc(filter.limit)), MAX_PAGE);
  const equal = Object.entries({ kind, modelId, accountId, apiKeyId }).filter(
    ([, value]) => value !== undefined,
  );
  const ids = [
    ...(fromMs === undefined ? [] : [{ id: { gte: firstIdOf(fromMs) } }]),
    ...(untilMs === undefined ? [] : [{ id: { lt: firstIdOf(untilMs) } }]),
    ...(after === undefined ? [] : [{ id: { lt: after } }]),
  ];
  const where = { ...Object.fromEntries(equal), AND: ids };
  const rows = await query((db) =>
    db.media.findMany({ where, orderBy: { id: 'desc' }, take: limit + 1 }),
  );
  const items = rows.slice(0, limit).map(toMedia);
  return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** What every row id of `timeMs` or later is not below: a ULID begins with its time. */
export function firstIdOf(timeMs: number): string {
  return rowId(Math.trunc(Math.min(Math.max(FIRST_MS, timeMs), LAST_MS))).slice(0, 10);
}

/**
 * Deletes a medium everywhere but with the image host, which takes no such orders.
 * @throws AppError `not_found`; `upstream_error` or `upstream_timeout` if the bucket does not let go
 *   of it: nothing is deleted then
 */
export async function deleteMedia(id: string): Promise<void> {
  const row = await query((db) => db.media.findUnique({ where: { id } }));
  if (!row) throw new AppError('not_found', 'There is no such image or video.');
  await removeStored(toMedia(row));
  await query((db) => db.media.deleteMany({ where: { id } }));
}
