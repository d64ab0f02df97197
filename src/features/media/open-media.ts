import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type ByteSpan, getObject, objectName } from '@/features/media/bucket';
import type { Media } from '@/features/media/media';
import { mediaFile } from '@/features/media/media-folder';
import { startReading } from '@/features/media/media-readers';
import { bucketConfig } from '@/features/media/storage-config';
import { AppError } from '@/platform/errors';
import { statOf } from '@/platform/folder';

interface Opened {
  bytes: number;
  /** Lets go of it; until then nothing of it is cleaned away. Safe to call again. */
  close(): void;
}

/** A medium to be read: a file of ours, or an object in the bucket. */
export type OpenedMedia =
  | (Opened & { from: 'disk'; path: string })
  | (Opened & {
      from: 'bucket';
      /** What was asked for, or all of it; to be read to its end or destroyed. */
      read(span: ByteSpan | null): Promise<Readable>;
    });

/**
 * Takes hold of a medium. The caller must `close` it.
 * @throws AppError `not_found` if it is neither on our disk nor in the bucket; `read` also
 *   `upstream_error` and `upstream_timeout`
 */
export async function openMedia(media: Media): Promise<OpenedMedia> {
  const stopReading = startReading(media.name);
  const close = stopReading ?? (() => {});
  try {
    const path = mediaFile(media.kind, media.name);
    const found = stopReading && (await statOf(path));
    if (found) return { from: 'disk', path, bytes: found.size, close };
    const config = media.inBucket ? await bucketConfig() : null;
    if (!config) throw new AppError('not_found', 'The image or video is no longer there.');
    const read = (span: ByteSpan | null) => getObject(config, objectName(media), span);
    return { from: 'bucket', bytes: media.bytes, read, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * All of a medium, piece by piece.
 * @throws AppError as `openMedia`, at the first piece
 */
export async function* readMedia(media: Media): AsyncGenerator<Uint8Array, void, undefined> {
  const opened = await openMedia(media);
  try {
    if (opened.from === 'bucket') yield* await opened.read(null);
    else yield* createReadStream(/*turbopackIgnore: true*/ opened.path);
  } finally {
    opened.close();
  }
}

/**
 * All of a medium in base64, such as the wire forms have it: for pictures, since it is in memory whole.
 * @throws AppError as `openMedia`
 */
export async function base64OfMedia(media: Media): Promise<string> {
  return (await buffer(readMedia(media))).toString('base64');
}
