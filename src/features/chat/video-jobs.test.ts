import { readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { newTrace } from '@/features/accounts/trace';
import {
  createVideoJob,
  deleteVideoJob,
  failUnfinishedVideoJobs,
  findVideoJob,
  listVideoJobs,
} from '@/features/chat/video-jobs';
import { stopVideoJobs, type VideoOutcome } from '@/features/chat/video-work';
import { filesFolder } from '@/features/files/file-folder';
import { addModels } from '@/features/models/models';
import { defaultModels } from '@/features/models/schema';
import { openDataFolder } from '@/features/settings/data-folder';
import { resetSettings, updateSettings } from '@/features/settings/settings';
import type { ChatAttachment } from '@/openai/attachments';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { closeDispatchers } from '@/platform/http';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

beforeAll(async () => {
  await openDataFolder();
  await addModels(defaultModels);
});
afterEach(() => query((db) => db.videoJob.deleteMany()));
afterAll(async () => {
  stopCachedTables();
  await closeDispatchers();
  await closeDatabase();
});

const key = { id: 'key', name: 'key', models: null, expiresAtMs: null };
const order = {
  model: 'gemini-video',
  prompt: 'A cat',
  seconds: '8',
  size: '1x1',
  attachments: [],
};
const picture: ChatAttachment = {
  source: 'inline',
  mimeType: 'image/png',
  bytes: Buffer.from('a picture'),
  name: null,
  param: 'input_reference',
};

const callerOf = (models: string[] | null = null) => ({
  key: { ...key, models },
  languageCode: 'en',
  mediaBaseUrl: () => 'http://127.0.0.1',
  mayInline: () => true,
  trace: newTrace('request'),
});

/** Orders a video, which comes to nothing: there are no accounts. */
async function create(attachments: ChatAttachment[] = []) {
  let end: (outcome: VideoOutcome) => void = () => {};
  const ended = new Promise<VideoOutcome>((resolve) => {
    end = resolve;
  });
  const onEnd = vi.fn((outcome: VideoOutcome) => end(outcome));
  const { id } = await createVideoJob({ ...order, attachments }, callerOf(), onEnd);
  return { id, ended, onEnd };
}

const rows = () => query((db) => db.videoJob.count());
const temporaries = () => readdirSync(filesFolder()).filter((name) => /\.part$/.test(name));

it('tells how a job has ended, once, and leaves no file behind', async () => {
  const { id, ended, onEnd } = await create([picture]);
  expect(await ended).toMatchObject({ failure: { code: 'no_account_available' } });
  expect(await findVideoJob(id, 'key')).toMatchObject({
    status: 'failed',
    errorCode: 'no_account_available',
  });
  await stopVideoJobs();
  expect(temporaries()).toEqual([]);
  expect(onEnd).toHaveBeenCalledTimes(1);
});

it('refuses at once what names a model or a file that is not there', async () => {
  const upload = { source: 'upload' as const, fileId: 'file-1', name: null, param: 'x' };
  const wrong = [
    [{ ...order, model: 'sora-9' }, null, 'model_not_found'],
    [order, ['gemini-image'], 'model_not_allowed'],
    [{ ...order, attachments: [picture, upload] }, null, 'not_found'],
  ] as const;
  const onEnd = vi.fn();
  for (const [asked, models, code] of wrong) {
    const refused = createVideoJob(asked, callerOf(models && [...models]), onEnd);
    await expect(refused).rejects.toMatchObject({ code });
  }
  expect(await rows()).toBe(0);
  expect(temporaries()).toEqual([]);
  expect(onEnd).not.toHaveBeenCalled();
});

it('takes fifty of a key at the same time, however fast they come', async () => {
  const settled = await Promise.allSettled(Array.from({ length: 51 }, () => create()));
  const refused = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  expect(refused).toMatchObject([{ code: 'rate_limited', retryAfterMs: 60_000 }]);
  await stopVideoJobs();
  expect(await rows()).toBe(50);
  expect((await create()).id).toMatch(/^video_/);
  await stopVideoJobs();
});

it('comes to its end though the end can not be noted', async () => {
  await query(
    (db) => db.$executeRaw`CREATE TRIGGER "stuck" BEFORE UPDATE ON "VideoJob"
      BEGIN SELECT RAISE(ABORT, 'stuck'); END`,
  );
  const { id, ended, onEnd } = await create();
  await stopVideoJobs();
  await ended;
  expect(onEnd).toHaveBeenCalledTimes(1);
  expect(await findVideoJob(id, 'key')).toMatchObject({ status: 'queued' });
  await query((db) => db.$executeRaw`DROP TRIGGER "stuck"`);
  await failUnfinishedVideoJobs();
  expect(await findVideoJob(id, 'key')).toMatchObject({
    status: 'failed',
    errorCode: 'server_stopped',
  });
});

it('stays when its video can not be deleted, so that the caller can try again', async () => {
  const now = new Date();
  const name = `${'a'.repeat(32)}.mp4`;
  const media = { id: 'medium', kind: 'video', name, mimeType: 'video/mp4', bytes: 1 };
  const origin = { modelId: 'gemini-video', accountId: 'account', apiKeyId: 'key' };
  const times = { createdAt: now, lastUsedAt: now };
  await query((db) => db.media.create({ data: { ...media, ...origin, ...times, inBucket: true } }));
  const { id, ended } = await create();
  await ended;
  const data = { status: 'completed', mediaName: name };
  await query((db) => db.videoJob.update({ where: { id }, data }));
  await updateSettings({
    s3Endpoint: 'http://127.0.0.1:9',
    s3Bucket: 'media',
    s3AccessKeyId: 'id',
    s3SecretAccessKey: 'secret',
    s3TimeoutMs: 1_000,
  });
  await expect(deleteVideoJob(id, 'key')).rejects.toMatchObject({ code: 'upstream_error' });
  expect(await findVideoJob(id, 'key')).toMatchObject({ status: 'completed', mediaName: name });
  await resetSettings(['s3Endpoint', 's3Bucket', 's3AccessKeyId', 's3SecretAccessKey']);
  await deleteVideoJob(id, 'key');
  await expect(findVideoJob(id, 'key')).rejects.toMatchObject({ code: 'not_found' });
  expect(await query((db) => db.media.count())).toBe(0);
});

it('is listed with those of its key alone', async () => {
  const ids = [(await create()).id, (await create()).id].sort();
  const page = { after: null, limit: 1, order: 'asc' as const };
  expect(await listVideoJobs('key', page)).toMatchObject({ jobs: [{ id: ids[0] }], hasMore: true });
  expect(await listVideoJobs('other', page)).toEqual({ jobs: [], hasMore: false });
  await stopVideoJobs();
});
