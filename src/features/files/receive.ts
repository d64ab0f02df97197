import { rm } from 'node:fs/promises';
import { filesFolder, makeFilesFolder } from '@/features/files/file-folder';
import { countAgain, endWaiting, fileRoom } from '@/features/files/room';
import { settings } from '@/features/settings/settings';
import { AppError } from '@/platform/errors';
import { type IncomingFile, receiveFile } from '@/platform/incoming-file';
import { log } from '@/platform/log';

export interface UploadLimits {
  /** Of one file. */
  maxFileBytes: number;
  /** Of all files together. */
  maxFilesBytes: number;
}

/**
 * Takes content in before its details are known, since the fields of a form come in any order. The
 * file must then be kept or discarded.
 * @throws AppError `payload_too_large`, or `storage_full` if the disk or the operator's limit is; else
 *   what `content` throws
 */
export async function receiveUpload(
  content: AsyncIterable<Uint8Array>,
  { maxFileBytes, maxFilesBytes }: UploadLimits,
): Promise<IncomingFile> {
  const room = await fileRoom();
  await makeFilesFolder();
  let bytes = 0;
  const isFull = () => room.storedBytes + room.incomingBytes > maxFilesBytes;
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of content) {
      bytes += piece.byteLength;
      room.incomingBytes += piece.byteLength;
      if (isFull()) await countAgain();
      if (isFull()) throw noRoom(maxFilesBytes);
      yield piece;
    }
  }
  try {
    const incoming = await receiveFile(filesFolder(), counted(), maxFileBytes);
    room.waiting.set(incoming.path, incoming.bytes);
    return incoming;
  } catch (error) {
    room.incomingBytes -= bytes;
    throw error;
  }
}

/**
 * Takes a file in for the time of one request or job; as long it counts among all files. It must then
 * be discarded.
 * @throws AppError as `receiveUpload`; else what `content` throws
 */
export async function receiveTemporary(
  content: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<IncomingFile> {
  const { maxFilesBytes } = await settings();
  return receiveUpload(content, { maxFileBytes: maxBytes, maxFilesBytes });
}

/**
 * Removes what was received and is not wanted (any more). Safe to call again, also for what was kept;
 * never fails.
 */
export async function discardIncoming({ path }: Pick<IncomingFile, 'path'>): Promise<void> {
  endWaiting(path);
  try {
    await rm(path, { force: true });
  } catch (error) {
    // The clean-up finds it, while whoever was answered well must not be told of it.
    log().warn({ err: error }, 'the bytes of a discarded file could not be removed');
  }
}

function noRoom(maxFilesBytes: number): AppError {
  return new AppError(
    'storage_full',
    `All files on this server together may have ${maxFilesBytes} bytes. Delete some of yours, or ask its operator to make room.`,
  );
}
