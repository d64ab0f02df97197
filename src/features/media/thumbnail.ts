import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Media } from '@/features/media/media';
import { thumbnailFile, thumbnailFolder } from '@/features/media/media-folder';
import { type OpenedMedia, openMedia } from '@/features/media/open-media';
import { storageFailure } from '@/features/media/storage-failure';
import { AppError, isAppError } from '@/platform/errors';
import { isThere } from '@/platform/folder';
import { PART_EXTENSION } from '@/platform/incoming-file';
import { log } from '@/platform/log';
import { makeFolder } from '@/platform/make-folder';
import { Places } from '@/platform/places';
import { processState } from '@/platform/process-state';

const EDGE_PIXELS = 320;
// A file of some kilobytes can hold an image that fills the memory.
const MAX_PIXELS = 25_000_000;
// One whose lines come in several passes is in memory whole.
const MAX_PROGRESSIVE_PIXELS = 10_000_000;
const MAX_SECONDS = 20;
// What only the bucket has goes through the memory.
const MAX_BUCKET_BYTES = 64 * 1_048_576;
const AT_ONCE = 2;
const MAX_WAITING = 100;
// Of those that can't be made, so that nobody has them tried again and again.
const MAX_REMEMBERED = 1_000;

interface Thumbnails {
  /** Under way, by the medium's name. */
  making: Map<string, Promise<string>>;
  places: Places;
  /** The names of images of which there is none. */
  hopeless: Set<string>;
}

function thumbnails(): Thumbnails {
  return processState<Thumbnails>('thumbnails', () => ({
    making: new Map(),
    places: new Places(AT_ONCE),
    hopeless: new Set(),
  }));
}

/**
 * The file of an image's thumbnail, WebP of at most 320 pixels; made at the first use.
 * @throws AppError `not_found` for a video, an image that is gone or one that can't be read;
 *   `upstream_error` if the bucket that alone has it does not answer
 */
export async function thumbnailOf(media: Media): Promise<string> {
  if (media.kind !== 'image') throw noThumbnail();
  const file = thumbnailFile(media.name);
  if (await isThere(file)) return file;
  const { making, hopeless, places } = thumbnails();
  if (hopeless.has(media.name)) throw noThumbnail();
  const underWay = making.get(media.name);
  if (underWay) return underWay;
  if (places.waiting >= MAX_WAITING) {
    throw new AppError('rate_limited', 'Too many thumbnails are being made. Try again.');
  }
  const made = inTurn(places, () => make(media, file)).finally(() => making.delete(media.name));
  making.set(media.name, made);
  return made;
}

async function inTurn<T>(places: Places, run: () => Promise<T>): Promise<T> {
  await places.take();
  try {
    return await run();
  } finally {
    places.leave();
  }
}

async function make(media: Media, file: string): Promise<string> {
  makeFolder(thumbnailFolder());
  const part = path.join(
    /*turbopackIgnore: true*/ thumbnailFolder(),
    `${randomUUID()}${PART_EXTENSION}`,
  );
  const opened = await openMedia(media);
  try {
    await writeThumbnail(await sourceOf(opened), part);
    await rename(part, file);
    return file;
  } catch (error) {
    await rm(part, { force: true });
    if (isAppError(error)) throw error;
    log().warn({ mediaId: media.id, err: error }, 'thumbnail can not be made');
    remember(media.name);
    throw noThumbnail(error);
  } finally {
    opened.close();
  }
}

function remember(name: string): void {
  const { hopeless } = thumbnails();
  if (hopeless.size >= MAX_REMEMBERED) hopeless.clear();
  hopeless.add(name);
}

async function sourceOf(opened: OpenedMedia): Promise<string | Buffer> {
  if (opened.from === 'disk') return opened.path;
  if (opened.bytes > MAX_BUCKET_BYTES) throw noThumbnail();
  try {
    return await buffer(await opened.read(null));
  } catch (error) {
    throw storageFailure('The bucket', error);
  }
}

async function writeThumbnail(source: string | Buffer, to: string): Promise<void> {
  const { default: sharp } = await import('sharp');
  // It would keep files open that are cleaned away.
  sharp.cache(false);
  const image = sharp(source, { limitInputPixels: MAX_PIXELS });
  const { isProgressive, width, height } = await image.metadata();
  if (isProgressive && width * height > MAX_PROGRESSIVE_PIXELS) {
    throw new Error(`progressive, of ${width} by ${height} pixels`);
  }
  await image
    .timeout({ seconds: MAX_SECONDS })
    .autoOrient()
    .resize({ width: EDGE_PIXELS, height: EDGE_PIXELS, fit: 'inside', withoutEnlargement: true })
    .webp()
    .toFile(to);
}

function noThumbnail(cause?: unknown): AppError {
  return new AppError('not_found', 'There is no thumbnail of it.', { cause });
}
