import { fileTypeFromBuffer, fileTypeFromFile } from 'file-type';

/** What content shows itself to be. */
export interface FileType {
  /** May have parameters. */
  mime: string;
  /** Without the dot. */
  ext: string;
}

/**
 * What the content of a file shows; null if it shows nothing that is known.
 * @throws the disk's errors
 */
export function fileTypeOfFile(file: string): Promise<FileType | null> {
  return unlessMisled(() => fileTypeFromFile(file));
}

/** What these bytes show, of which the first suffice; null if they show nothing that is known. */
export function fileTypeOfBytes(bytes: Uint8Array): Promise<FileType | null> {
  return unlessMisled(() => fileTypeFromBuffer(bytes));
}

async function unlessMisled(detect: () => Promise<FileType | undefined>): Promise<FileType | null> {
  try {
    return (await detect()) ?? null;
  } catch (error) {
    // The disk's failures have a code; the others are those of a parser that was led astray.
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
    return null;
  }
}
