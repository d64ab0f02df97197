import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';

/** An image host of the kind of CloudFlare-ImgBed. */
export interface CfbedConfig {
  /** Where uploads go, such as `https://img.example.com/upload`. */
  url: string;
  token: string | null;
  /** Base of the addresses of what was uploaded; null: that of `url`. */
  publicUrl: string | null;
  channel: Settings['cfbedChannel'];
  folder: string | null;
  timeoutMs: number;
}

/** A bucket of an S3-compatible storage. */
export interface BucketConfig {
  /** Null: Amazon's own, by region. */
  endpoint: string | null;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** Before every object's name: empty, or a path that ends in a slash. */
  prefix: string;
  connectTimeoutMs: number;
  /** For one request: a piece of an upload, or the silence within a download. */
  timeoutMs: number;
}

/** The image host, by the settings and else by the environment; null if there is none. */
export async function cfbedConfig(): Promise<CfbedConfig | null> {
  const given = await settings();
  const url = given.cfbedUrl ?? env().cfbedUrl;
  if (url === null) return null;
  return {
    url,
    token: given.cfbedToken ?? env().cfbedToken,
    publicUrl: given.cfbedPublicUrl ?? env().cfbedPublicUrl,
    channel: given.cfbedChannel,
    folder: given.cfbedFolder,
    timeoutMs: given.cfbedTimeoutMs,
  };
}

/**
 * The bucket, by the settings and else by the environment; null if none is named.
 * @throws AppError `conflict` if one is named without the key to it
 */
export async function bucketConfig(): Promise<BucketConfig | null> {
  const given = await settings();
  const bucket = given.s3Bucket ?? env().s3Bucket;
  if (bucket === null) return null;
  const accessKeyId = given.s3AccessKeyId ?? env().s3AccessKeyId;
  const secretAccessKey = given.s3SecretAccessKey ?? env().s3SecretAccessKey;
  if (accessKeyId === null || secretAccessKey === null) {
    throw new AppError(
      'conflict',
      'The bucket has no access key. Set both s3AccessKeyId and s3SecretAccessKey.',
    );
  }
  return {
    endpoint: given.s3Endpoint ?? env().s3Endpoint,
    region: given.s3Region ?? env().s3Region ?? 'us-east-1',
    bucket,
    accessKeyId,
    secretAccessKey,
    prefix: asFolder(given.s3Prefix ?? env().s3Prefix ?? ''),
    connectTimeoutMs: given.connectTimeoutMs,
    timeoutMs: given.s3TimeoutMs,
  };
}

function asFolder(prefix: string): string {
  const inner = prefix.replace(/^\/+|\/+$/g, '');
  return inner === '' ? '' : `${inner}/`;
}
