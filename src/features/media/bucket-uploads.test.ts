import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stopBucketUploads } from '@/features/media/bucket-uploads';
import { findMedia, saveMedia } from '@/features/media/media';
import { openDataFolder } from '@/features/settings/data-folder';
import { updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { Cancellation } from '@/platform/cancellation';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';
process.env.ALLOW_PRIVATE_URLS = '127.0.0.1';

const GIF = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64');
let silent: Server;
let calls = 0;

beforeAll(async () => {
  await openDataFolder();
  silent = createServer(() => {
    calls += 1;
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  await updateSettings({
    s3Endpoint: `http://127.0.0.1:${port}`,
    s3Bucket: 'media',
    s3AccessKeyId: 'id',
    s3SecretAccessKey: 'secret',
  });
});
afterAll(async () => {
  silent.closeAllConnections();
  silent.close();
  stopCachedTables();
  await closeDatabase();
});

it('a bucket that hangs keeps back neither an answer nor the stop', async () => {
  const save = () =>
    saveMedia(
      (async function* () {
        yield GIF;
      })(),
      { declaredType: null, modelId: 'm', accountId: 'a', apiKeyId: 'k' },
      new Cancellation(),
    );
  const media = [];
  for (let number = 0; number < 5; number += 1) media.push(await save());
  await expect.poll(() => calls).toBe(2);
  await stopBucketUploads();
  const noted = [];
  for (const { name } of media) noted.push((await findMedia('image', name))?.inBucket);
  // What was cut off may be there; the others surely are not.
  expect(noted).toEqual([true, true, false, false, false]);
  await save();
  expect(calls).toBe(2);
});
