import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { S3Client } from '@aws-sdk/client-s3';
import { type BucketConfig, bucketConfig } from '@/features/media/storage-config';
import { storageFailure } from '@/features/media/storage-failure';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';
import { assertPublicUrl, guardedLookup } from '@/platform/public-fetch';

// Of one upload this much is in memory; ten thousand such pieces are the most that S3 takes.
const PIECE_BYTES = 5 * 1_048_576;
// A request that failed on the way is tried once more.
const MAX_ATTEMPTS = 2;

interface ClientState {
  /** Of what configuration. */
  key: string;
  client: Promise<S3Client> | null;
}

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
 * Uploads a file, piece by piece.
 * @throws AppError `upstream_error`, `upstream_timeout`
 */
export async function putObject(
  config: BucketConfig,
  name: string,
  file: { path: string; mimeType: string },
): Promise<void> {
  const { Upload } = await import('@aws-sdk/lib-storage');
  // One that fails before it is read would end the process; whoever reads it is told all the same.
  const body = createReadStream(/*turbopackIgnore: true*/ file.path).on('error', () => {});
  try {
    const params = {
      Bucket: config.bucket,
      Key: config.prefix + name,
      Body: body,
      ContentType: file.mimeType,
      CacheControl: 'public, max-age=31536000, immutable',
    };
    const client = await clientOf(config);
    await new Upload({ client, params, queueSize: 1, partSize: PIECE_BYTES }).done();
  } catch (error) {
    throw asAppError(error);
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
  const command = new GetObjectCommand({
    Bucket: config.bucket,
    Key: config.prefix + name,
    ...range,
  });
  try {
    const { Body } = await (await clientOf(config)).send(command);
    if (Body instanceof Readable) return Body;
    throw new Error('the storage answered without a body');
  } catch (error) {
    throw asAppError(error);
  }
}

/**
 * Deletes an object; one that is not there counts as deleted.
 * @throws AppError `upstream_error`, `upstream_timeout`
 */
export async function deleteObject(config: BucketConfig, name: string): Promise<void> {
  const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
  const command = new DeleteObjectCommand({ Bucket: config.bucket, Key: config.prefix + name });
  try {
    await (await clientOf(config)).send(command);
  } catch (error) {
    const failure = asAppError(error);
    if (failure.code !== 'not_found') throw failure;
  }
}

/**
 * Writes a small object into the bucket, reads it back and deletes it.
 * @returns how long that took
 * @throws AppError `conflict` if no bucket is set, or what it answers is not what was written;
 *   `upstream_error`, `upstream_timeout`
 */
export async function testBucket(): Promise<{ durationMs: number }> {
  const config = await bucketConfig();
  if (!config) throw new AppError('conflict', 'No bucket is set. Set s3Bucket first.');
  const startedAtMs = performance.now();
  const [name, written] = [`test/${randomBytes(16).toString('hex')}`, randomBytes(64)];
  const { PutObjectCommand } = await import('@aws-sdk/client-s3');
  const object = { Bucket: config.bucket, Key: config.prefix + name, Body: written };
  try {
    await (await clientOf(config)).send(new PutObjectCommand(object));
  } catch (error) {
    throw asAppError(error);
  }
  const read = await buffer(await getObject(config, name, null));
  await deleteObject(config, name);
  if (!read.equals(written)) {
    throw new AppError('conflict', 'The bucket answers other bytes than were written to it.');
  }
  return { durationMs: Math.round(performance.now() - startedAtMs) };
}

/** One client for all of the process, as long as the configuration stays. */
function clientOf(config: BucketConfig): Promise<S3Client> {
  const state = processState<ClientState>('bucket-client', () => ({ key: '', client: null }));
  const key = JSON.stringify(config);
  if (state.client && state.key === key) return state.client;
  const client = makeClient(config);
  Object.assign(state, { key, client });
  return client;
}

async function makeClient(config: BucketConfig): Promise<S3Client> {
  const { endpoint, region, accessKeyId, secretAccessKey, connectTimeoutMs, timeoutMs } = config;
  const { allowances } = env();
  const url = endpoint === null ? null : assertPublicUrl(endpoint, allowances);
  const port = Number(url?.port || (url?.protocol === 'http:' ? 80 : 443));
  const connections = { keepAlive: true, lookup: guardedLookup({ allowances }, port) };
  const { S3Client } = await import('@aws-sdk/client-s3');
  return new S3Client({
    region,
    credentials: { accessKeyId, secretAccessKey },
    // Few other than Amazon have a host name for each bucket.
    ...(endpoint !== null && { endpoint, forcePathStyle: true }),
    maxAttempts: MAX_ATTEMPTS,
    // Not all storages know the checksums that the SDK adds by itself.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      httpAgent: new http.Agent(connections),
      httpsAgent: new https.Agent(connections),
      connectionTimeout: connectTimeoutMs,
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: timeoutMs,
    },
  });
}

function asAppError(error: unknown): AppError {
  const { name } = (error ?? {}) as { name?: string };
  if (name === 'NoSuchKey' || name === 'NotFound') {
    return new AppError('not_found', 'The bucket has it no more.', { cause: error });
  }
  return storageFailure('The bucket', error);
}
