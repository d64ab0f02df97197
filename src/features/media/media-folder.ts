import path from 'node:path';
import type { MediaType } from '@/features/media/media-type';
import { query } from '@/platform/db';
import { env } from '@/platform/env';
import { isSafeToClean, makeMarkedFolder } from '@/platform/folder-mark';

/** What is added to a medium's name for its thumbnail's. */
export const THUMBNAIL_EXTENSION = '.webp';

/** Where media come in; below it are the folders of the kinds and of the thumbnails. */
export function mediaFolder(): string {
  return path.join(/*turbopackIgnore: true*/ env().dataDir, 'media');
}

/** The folder of one kind. */
export function kindFolder(kind: MediaType['kind']): string {
  return path.join(/*turbopackIgnore: true*/ mediaFolder(), kind);
}

/** Makes the folder of one kind where it is missing. @throws AppError `conflict` if it can't be made */
export function makeKindFolder(kind: MediaType['kind']): Promise<void> {
  return makeMarkedFolder(kindFolder(kind), () => hasMedia(kind));
}

/** Whether the folder of a kind is the one that the rows tell of, so that the two may be compared. */
export function isKindFolderSafe(kind: MediaType['kind']): Promise<boolean> {
  return isSafeToClean(kindFolder(kind), () => hasMedia(kind));
}

async function hasMedia(kind: MediaType['kind']): Promise<boolean> {
  const first = { where: { kind }, select: { id: true } };
  return (await query((db) => db.media.findFirst(first))) !== null;
}

/** The file of the medium of that name. */
export function mediaFile(kind: MediaType['kind'], name: string): string {
  return path.join(/*turbopackIgnore: true*/ kindFolder(kind), name);
}

/** The folder of all thumbnails. */
export function thumbnailFolder(): string {
  return path.join(/*turbopackIgnore: true*/ mediaFolder(), 'thumbnail');
}

/** The file of the thumbnail of the medium of that name. */
export function thumbnailFile(name: string): string {
  return path.join(/*turbopackIgnore: true*/ thumbnailFolder(), name + THUMBNAIL_EXTENSION);
}
