import http from 'node:http';
import https from 'node:https';
import type { S3Client } from '@aws-sdk/client-s3';
import type { BucketConfig } from '@/features/media/storage-config';
import { env } from '@/platform/env';
import { processState } from '@/platform/process-state';
import { assertPublicUrl, guardedLookup } from '@/platform/public-fetch';

// A request that failed on the way is tried once more.
const MAX_ATTEMPTS = 2;

interface Shared {
  /** Of what configuration. */
  key: string;
  client: Promise<S3Client>;
  users: number;
  /** Another configuration has come. */
  isReplaced: boolean;
}

/** A client that somebody uses. */
export interface ClientUse {
  client: S3Client;
  /** Lets go of it; safe to call again. */
  end(): void;
}

/**
 * The one client of all of the process, as long as the configuration stays: its connections are kept.
 * Once replaced it is closed by its last user. The caller must `end` the use.
 */
export async function takeClient(config: BucketConfig): Promise<ClientUse> {
  const shared = sharedClient(config);
  shared.users += 1;
  let isEnded = false;
  const end = () => {
    if (isEnded) return;
    isEnded = true;
    shared.users -= 1;
    closeIfUnused(shared);
  };
  try {
    return { client: await shared.client, end };
  } catch (error) {
    end();
    throw error;
  }
}

function sharedClient(config: BucketConfig): Shared {
  const state = processState<{ shared: Shared | null }>('bucket-client', () => ({ shared: null }));
  const key = JSON.stringify(config);
  if (state.shared?.key === key) return state.shared;
  const replaced = state.shared;
  state.shared = { key, client: makeClient(config), users: 0, isReplaced: false };
  if (replaced) {
    replaced.isReplaced = true;
    closeIfUnused(replaced);
  }
  return state.shared;
}

function closeIfUnused({ client, users, isReplaced }: Shared): void {
  if (!isReplaced || users > 0) return;
  // One that could not be made has nothing to close.
  client.then((made) => made.destroy()).catch(() => {});
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
      // It would also count how long the reader of a body makes it wait.
      socketTimeout: 0,
    },
  });
}
