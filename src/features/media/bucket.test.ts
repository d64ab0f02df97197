import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { hasObject, testBucket } from '@/features/media/bucket';
import { bucketUploadsDone } from '@/features/media/bucket-uploads';
import { findMedia, saveMedia } from '@/features/media/media';
import { bucketConfig } from '@/features/media/storage-config';
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
let server: Server;
/** What the storage answers by method: a status, or `cut` for a body that breaks off. */
let answers: Record<string, number | 'cut'>;
let asked: string[];

beforeAll(async () => {
  await openDataFolder();
  server = createServer((request, response) => {
    const method = request.method ?? '';
    asked.push(method);
    const answer = answers[method] ?? 200;
    request.resume();
    if (answer === 'cut') {
      response.writeHead(200, { 'content-length': '64' });
      response.write('x');
      setTimeout(() => response.destroy(), 20);
    } else response.writeHead(answer).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await updateSettings({
    s3Endpoint: `http://127.0.0.1:${port}`,
    s3Bucket: 'media',
    s3AccessKeyId: 'id',
    s3SecretAccessKey: 'secret',
  });
});
beforeEach(() => {
  asked = [];
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  stopCachedTables();
  await closeDatabase();
});

it.each([
  ['can not be read', { GET: 403 }, 'upstream_error'],
  ['breaks off', { GET: 'cut' }, 'upstream_error'],
  ['answers other bytes', {}, 'conflict'],
] as const)('a test that %s leaves nothing there', async (_, given, code) => {
  answers = given;
  await expect(testBucket()).rejects.toMatchObject({ code });
  expect([asked[0], asked.at(-1)]).toEqual(['PUT', 'DELETE']);
});

it('an upload that fails leaves nothing there, and no note in the row', async () => {
  answers = { PUT: 403 };
  async function* content() {
    yield GIF;
  }
  const origin = { declaredType: null, modelId: 'm', accountId: 'a', apiKeyId: 'k' };
  const { name } = await saveMedia(content(), origin, new Cancellation());
  await bucketUploadsDone();
  expect(asked).toEqual(['PUT', 'DELETE']);
  expect(await findMedia('image', name)).toMatchObject({ inBucket: false });
});

it('tells what it has, what it has not, and what nobody knows', async () => {
  const config = await bucketConfig();
  if (!config) throw new Error('no bucket');
  answers = {};
  expect(await hasObject(config, 'a')).toBe(true);
  answers = { HEAD: 404 };
  expect(await hasObject(config, 'a')).toBe(false);
  answers = { HEAD: 403 };
  await expect(hasObject(config, 'a')).rejects.toMatchObject({ code: 'upstream_error' });
});
