import { mediaReply } from '@/api/media';
import { isForm, readAttachmentForm } from '@/api/openai/attachment-form';
import { callerOf } from '@/api/openai/caller';
import { type Call, openAiEndpoint, toShown } from '@/api/openai/endpoint';
import { RequestRecord } from '@/api/openai/request-record';
import { jsonReply, queryOf, type Reply } from '@/api/reply';
import {
  createVideoJob,
  deleteVideoJob,
  findVideoJob,
  listVideoJobs,
  type VideoJob,
  videoOf,
} from '@/features/chat/video-jobs';
import type { VideoOutcome } from '@/features/chat/video-work';
import {
  parseVideoListQuery,
  parseVideoRequest,
  toDeletedVideo,
  toVideoList,
  toVideoObject,
  type VideoDescription,
  type VideoParameters,
} from '@/openai/videos';
import { AppError } from '@/platform/errors';

const LIST_PATH = '/v1/videos';

/** `POST` and `GET /v1/videos` (contract 8.3). */
export const videos = openAiEndpoint({
  route: LIST_PATH,
  methods: { POST: create, GET: list },
  // What is ordered has a row when it is over.
  logged: false,
});

/** `GET` and `DELETE /v1/videos/{id}`. */
export const video = openAiEndpoint({
  route: `${LIST_PATH}/{id}`,
  methods: { GET: retrieve, DELETE: remove },
  logged: false,
});

/** `GET /v1/videos/{id}/content`: the bytes, or a range of them. */
export const videoContent = openAiEndpoint({
  route: `${LIST_PATH}/{id}/content`,
  methods: { GET: content },
  logged: false,
});

async function create(call: Call): Promise<Reply> {
  if (!isForm(call.request)) {
    return begin(call, parseVideoRequest(await call.json(), null), async () => {});
  }
  const form = await readAttachmentForm(
    call.request,
    { input_reference: 1 },
    call.record.bodyShare,
  );
  try {
    const [reference = null] = form.of('input_reference');
    const parameters = parseVideoRequest(Object.fromEntries(form.fields), reference);
    return await begin(call, parameters, () => form.discard());
  } catch (error) {
    await form.discard();
    throw error;
  }
}

/** Takes a job on; its work has a row of its own in the request log, when it is over. */
async function begin(
  call: Call,
  parameters: VideoParameters,
  release: () => Promise<void>,
): Promise<Reply> {
  call.record.nameModel(parameters.model);
  const work = new RequestRecord(call.record.requestId, `${LIST_PATH} (work)`, {
    route: `${LIST_PATH} (work)`,
    logged: true,
  });
  work.key = call.key;
  work.nameModel(parameters.model);
  const caller = { ...(await callerOf(call)), trace: work.trace };
  const job = await createVideoJob(parameters, caller, async (outcome) => {
    finish(work, outcome);
    await release();
  });
  return jsonReply(200, toVideoObject(descriptionOf(job)));
}

function finish(work: RequestRecord, outcome: VideoOutcome): void {
  if ('failure' in outcome) {
    work.fail(toShown(outcome.failure, work.requestId));
    return;
  }
  const { model, usage } = outcome.result;
  work.completion = { model, usage: () => usage };
  work.finish(200, null);
}

async function list({ request, key }: Call): Promise<Reply> {
  const { jobs, hasMore } = await listVideoJobs(key.id, parseVideoListQuery(queryOf(request)));
  return jsonReply(200, toVideoList(jobs.map(descriptionOf), hasMore));
}

async function retrieve({ path, key }: Call): Promise<Reply> {
  return jsonReply(200, toVideoObject(descriptionOf(await findVideoJob(idOf(path), key.id))));
}

async function remove({ path, key }: Call): Promise<Reply> {
  const id = idOf(path);
  await deleteVideoJob(id, key.id);
  return jsonReply(200, toDeletedVideo(id));
}

async function content({ request, path, key, record }: Call): Promise<Reply> {
  refuseVariant(queryOf(request).get('variant'));
  const media = await videoOf(await findVideoJob(idOf(path), key.id));
  return mediaReply(request, media, (status, failure) => {
    if (failure) record.fail(toShown(failure, record.requestId));
    else record.finish(status, null);
  });
}

function refuseVariant(variant: string | null): void {
  if (!variant || variant === 'video') return;
  throw new AppError('invalid_request', "There is no 'variant' but the video.", {
    param: 'variant',
    detail: 'invalid_value',
  });
}

function idOf(path: string): string {
  return path.slice(LIST_PATH.length + 1).split('/')[0] ?? '';
}

function descriptionOf(job: VideoJob): VideoDescription {
  const { createdAt, completedAt, expiresAt, errorCode, errorMessage, ...rest } = job;
  return {
    ...rest,
    createdAtMs: createdAt.getTime(),
    completedAtMs: completedAt?.getTime() ?? null,
    expiresAtMs: expiresAt?.getTime() ?? null,
    error: errorCode === null ? null : { code: errorCode, message: errorMessage ?? '' },
  };
}
