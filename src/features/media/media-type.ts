import { fileTypeOfFile } from '@/platform/file-type';

/** What a generated file is, told by its content alone. */
export interface MediaType {
  kind: 'image' | 'video';
  /** Without the dot. */
  extension: string;
  mimeType: string;
}

const image = (extension: string, mimeType: string): MediaType => ({
  kind: 'image',
  extension,
  mimeType,
});
const video = (extension: string, mimeType: string): MediaType => ({
  kind: 'video',
  extension,
  mimeType,
});

/** By the library's word for the content. All of them play or show in a browser and run nothing. */
const known: Readonly<Record<string, MediaType>> = {
  'image/png': image('png', 'image/png'),
  // An animated PNG is a PNG.
  'image/apng': image('png', 'image/png'),
  'image/jpeg': image('jpg', 'image/jpeg'),
  'image/gif': image('gif', 'image/gif'),
  'image/webp': image('webp', 'image/webp'),
  'image/avif': image('avif', 'image/avif'),
  'video/mp4': video('mp4', 'video/mp4'),
  // Apple's name for MP4.
  'video/x-m4v': video('mp4', 'video/mp4'),
  'video/webm': video('webm', 'video/webm'),
  'video/quicktime': video('mov', 'video/quicktime'),
};

/** The type of a file's content; null if it is none that we keep. */
export async function mediaTypeOf(file: string): Promise<MediaType | null> {
  const found = await fileTypeOfFile(file);
  return found && Object.hasOwn(known, found.mime) ? (known[found.mime] ?? null) : null;
}
