import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError } from '@/platform/errors';

/** A file that came in whole, under a name that nobody looks for yet: to be renamed or removed. */
export interface IncomingFile {
  path: string;
  bytes: number;
}

/** What names end in as long as nobody has taken the file: after a crash such files are litter. */
export const PART_EXTENSION = '.part';

/**
 * Writes `content` to a new file in `folder`, piece by piece; of one that fails nothing stays.
 * @throws AppError `payload_too_large` beyond `maxBytes`, `storage_full` if the disk is full; else
 *   what `content` throws
 */
export async function receiveFile(
  folder: string,
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<IncomingFile> {
  const file = path.join(/*turbopackIgnore: true*/ folder, `${randomUUID()}${PART_EXTENSION}`);
  let bytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of content) {
      bytes += piece.byteLength;
      if (bytes > maxBytes) {
        throw new AppError('payload_too_large', `The file is larger than ${maxBytes} bytes.`);
      }
      yield piece;
    }
  }
  try {
    await pipeline(counted, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    return { path: file, bytes };
  } catch (error) {
    await rm(file, { force: true });
    throw isDiskFull(error) ? storageFull(error) : error;
  }
}

/** Whether a write failed for want of room: of the disk, a quota or the process's own limit. */
function isDiskFull(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(code));
}

function storageFull(cause: unknown): AppError {
  return new AppError('storage_full', "The server's disk is full. Its operator must make room.", {
    cause,
  });
}
