import path from 'node:path';
import type { MediaType } from '@/features/media/media-type';
import { env } from '@/platform/env';

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
