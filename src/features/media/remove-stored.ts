import { rm } from 'node:fs/promises';
import { deleteObject, objectName } from '@/features/media/bucket';
import { mediaFile, thumbnailFile } from '@/features/media/media-folder';
import type { MediaType } from '@/features/media/media-type';
import { bucketConfig } from '@/features/media/storage-config';

/** What tells where a medium is stored. */
export interface StoredMedia {
  kind: MediaType['kind'];
  name: string;
  inBucket: boolean;
}

/**
 * Removes what is stored of a medium, all but its row. The bucket comes first: what can't be removed
 * there keeps its row, and is tried again.
 * @throws AppError as `deleteObject`
 */
export async function removeStored(media: StoredMedia): Promise<void> {
  // Without a configuration the bucket is out of reach, and the object its operator's.
  const config = media.inBucket ? await bucketConfig() : null;
  if (config) await deleteObject(config, objectName(media));
  await removeLocal(media);
  await rm(thumbnailFile(media.name), { force: true });
}

/** Removes the copy on our disk. */
export async function removeLocal({ kind, name }: StoredMedia): Promise<void> {
  await rm(mediaFile(kind, name), { force: true });
}
