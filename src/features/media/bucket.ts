import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import http from 'node:http';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { S3Client } from '@aws-sdk/client-s3';
import { takeClient } from '@/features/media/bucket-client';
import { type BucketConfig, bucketConfig } from '@/features/media/storage-config';
import { storageFailure } from '@/features/media/storage-failure';
import { AppError } from '@/platform/errors';

// Of one upload this much is in memory; ten thousand such pieces are the most that S3 takes.
const PIECE_BYTES = 5 * 1_048_576;

/** What an object is called within the bucket, after the prefix. */
export function objectName(media: { kind: string; name: string }): string {
  return `${media.kind}/${media.name}`;
}

/** Bytes from `start` to `end`, both included. */
export interface ByteSpan {
  start: number;
  end: number;
}

/**
 * Uploads a file, piece by piece; `signal` gives it up.
 * @throws AppError `upstream_error`, `upstream_timeout`
 */
export async function putObject(
  config: BucketConfig,
  name: string,
  file: { path: string; mimeType: string },
  signal: AbortSignal,
): Promise<void> {
  const { Upload } = await import('@aws-sdk/lib-storage');
  // One that fails before it is read would end the process; whoever reads it is told all the same.
  const body = createReadStream(/*turbopackIgnore: true*/ file.path).on('error', () => {});
  try {
    const params = {
      ...placeOf(config, name),
      Body: body,
      ContentType: file.mimeType,
      CacheControl: 'public, max-age=31536000, immutable',
    };
    await withClient(config, async (client) => {
      const upload = new Upload({ client, params, queueSize: 1, partSize: PIECE_BYTES });
      const abort = () => void upload.abort();
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      await upload.done().finally(() => signal.removeEventListener('abort', abort));
    });
  } finally {
    body.destroy();
  }
}

/**
 * An object's content, or a part of it, as it comes. Who does not read it to its end must destroy it.
 * @throws AppError `not_found` if the bucket has it no more, `upstream_error`, `upstream_timeout`
 */
export async function getObject(
  config: BucketConfig,
  name: string,
  span: ByteSpan | null,
): Promise<Readable> {
  const { GetObjectCommand } = await import('@aws-sdk/client-s3');
  const range = span && { Range: `bytes=${span.start}-${span.end}` };
  const command = new GetObjectCommand({ ...placeOf(config, name), ...range });
  try {
    const { client, end } = await takeClient(config);
    try {
      const { Body } = await client.send(command);
      if (!(Body instanceof http.IncomingMessage))
        throw new Error('the storage answers without a body');
      endInSilence(Body, config.timeoutMs);
      return Body.once('close', end);
    } catch (error) {
      end();
      throw error;
    }
  } catch (error) {
    throw asAppError(error);
  }
}

/** Ends a body of which nothing came in `timeoutMs`, but not since its own reader makes a pause. */
function endInSilence(body: http.IncomingMessage, timeoutMs: number): void {
  let seenBytes = body.socket.bytesRead;
  const watch = setInterval(() => {
    const { bytesRead } = body.socket;
    const isSilent = bytesRead === seenBytes && body.readableLength === 0;
    if (isSilent) body.destroy(new Error('The storage was silent for too long.'));
    seenBytes = bytesRead;
  }, timeoutMs);
  body.once('close', () => clearInterval(watch));
}

/**
 * Whether the bucket has an object.
 * @throws AppError `upstream_error`, `upstream_timeout`
 */
export async function hasObject(config: BucketConfig, name: string): Promise<boolean> {
  const { HeadObjectCommand } = await import('@aws-sdk/client-s3');
  const command = new HeadObjectCommand(placeOf(config, name));
  return unlessMissing(() => withClient(config, (client) => client.send(command)));
}

/**
 * Deletes an object; one that is not there counts as deleted.
 * @throws AppError `upstream_error`, `upstream_timeout`
 */
export async function deleteObject(config: BucketConfig, name: string): Promise<void> {
  const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
  const command = new DeleteObjectCommand(placeOf(config, name));
  await unlessMissing(() => withClient(config, (client) => client.send(command)));
}

/**
 * Writes a small object into the bucket, reads it back and deletes it, also where that fails.
 * @returns how long that took
 * @throws AppError `conflict` if no bucket is set, or what it answers is not what was written;
 *   `upstream_error`, `upstream_timeout`
 */
export async function testBucket(): Promise<{ durationMs: number }> {
  const config = await bucketConfig();
  if (!config) throw new AppError('conflict', 'No bucket is set. Set s3Bucket first.');
  const startedAtMs = performance.now();
  const name = `test/${randomBytes(16).toString('hex')}`;
  try {
    await writeAndRead(config, name);
  } catch (error) {
    // What went wrong first is what counts.
    await deleteObject(config, name).catch(() => {});
    throw asAppError(error);
  }
  await deleteObject(config, name);
  return { durationMs: Math.round(performance.now() - startedAtMs) };
}

async function writeAndRead(config: BucketConfig, name: string): Promise<void> {
  const { PutObjectCommand } = await import('@aws-sdk/client-s3');
  const written = randomBytes(64);
  const command = new PutObjectCommand({ ...placeOf(config, name), Body: written });
  await withClient(config, (client) => client.send(command));
  const read = await buffer(await getObject(config, name, null));
  if (!read.equals(written)) {
    throw new AppError('conflict', 'The bucket answers other bytes than were written to it.');
  }
}

function placeOf({ bucket, prefix }: BucketConfig, name: string) {
  return { Bucket: bucket, Key: prefix + name };
}

/** @throws AppError, whatever went wrong */
async function withClient<T>(
  config: BucketConfig,
  run: (client: S3Client) => Promise<T>,
): Promise<T> {
  try {
    const { client, end } = await takeClient(config);
    return await run(client).finally(end);
  } catch (error) {
    throw asAppError(error);
  }
}

/** False if what was asked for is not there. */
async function unlessMissing(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch (error) {
    if ((error as AppError).code === 'not_found') return false;
    throw error;
  }
}

function asAppError(error: unknown): AppError {
  const { name } = (error ?? {}) as { name?: string };
  if (name === 'NoSuchKey' || name === 'NotFound') {
    return new AppError('not_found', 'The bucket has it no more.', { cause: error });
  }
  return storageFailure('The bucket', error);
}
