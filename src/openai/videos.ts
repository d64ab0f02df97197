import { z } from 'zod';
import { type ChatAttachment, toAttachment } from '@/openai/attachments';
import { givenOf, toPage, toUnixSeconds } from '@/openai/page';
import { missingParameter, parseBy } from '@/openai/validation';

const DEFAULT_MODEL = 'gemini-video';
const DEFAULT_SECONDS = '8';
const DEFAULT_SIZE = '1280x720';

const InputReference = z.union([
  z.string(),
  z.object({ image_url: z.string().nullish(), file_id: z.string().min(1).max(200).nullish() }),
]);

const VideoRequest = z.object({
  prompt: z.string().min(1).max(100_000),
  model: z.string().min(1).max(200).nullish(),
  seconds: z.coerce
    .string()
    .regex(/^\d{1,3}$/)
    .nullish()
    .or(z.literal('')),
  size: z
    .string()
    .regex(/^\d{2,5}x\d{2,5}$/)
    .nullish(),
  input_reference: InputReference.nullish(),
});

/** What a request for a video asks for. */
export interface VideoParameters {
  model: string;
  prompt: string;
  seconds: string;
  size: string;
  /** The picture that it begins with, if there is one. */
  attachments: ChatAttachment[];
}

/**
 * Checks the body, or the fields of a form, of `POST /v1/videos` (contract 8.3); `reference` is the
 * picture that came with a form. The upstream chooses length and size: both are checked and told back.
 * @throws AppError `invalid_request` with `param`
 */
export function parseVideoRequest(body: object, reference: ChatAttachment | null): VideoParameters {
  const request = parseBy(VideoRequest, body);
  const { prompt, model, seconds, size, input_reference: named } = request;
  const attachment = reference ?? (named ? attachmentOf(named) : null);
  return {
    model: (model ?? DEFAULT_MODEL).toWellFormed(),
    // The database would cut it there.
    prompt: prompt.toWellFormed().replaceAll('\0', '\ufffd'),
    seconds: seconds || DEFAULT_SECONDS,
    size: size ?? DEFAULT_SIZE,
    attachments: attachment ? [attachment] : [],
  };
}

function attachmentOf(named: z.infer<typeof InputReference>): ChatAttachment {
  const param = 'input_reference';
  if (typeof named === 'string') return fromUrl(named, param);
  if (named.file_id) return { source: 'upload', fileId: named.file_id, name: null, param };
  if (named.image_url) return fromUrl(named.image_url, param);
  throw missingParameter(param, "Give 'image_url' or 'file_id'.");
}

function fromUrl(url: string, param: string): ChatAttachment {
  return toAttachment({ type: 'image_url', image_url: url }, param);
}

export type VideoStatus = 'queued' | 'in_progress' | 'completed' | 'failed';

/** A job of `/v1/videos`, as the SDKs know it: every key is always there. Times are Unix seconds. */
export interface VideoObject {
  id: string;
  object: 'video';
  model: string;
  status: VideoStatus;
  /** Percent. */
  progress: number;
  created_at: number;
  completed_at: number | null;
  expires_at: number | null;
  prompt: string;
  size: string;
  seconds: string;
  remixed_from_video_id: null;
  error: { code: string; message: string } | null;
}

/** What the wire form of a job is made of. */
export interface VideoDescription {
  id: string;
  model: string;
  status: VideoStatus;
  prompt: string;
  size: string;
  seconds: string;
  createdAtMs: number;
  completedAtMs: number | null;
  expiresAtMs: number | null;
  error: { code: string; message: string } | null;
}

/** The upstream tells nothing of how far it is. */
const progressOf: Readonly<Record<VideoStatus, number>> = {
  queued: 0,
  in_progress: 50,
  completed: 100,
  failed: 0,
};

/** The wire form of a job. */
export function toVideoObject(job: VideoDescription): VideoObject {
  const { id, model, status, prompt, size, seconds, error } = job;
  return {
    id,
    object: 'video',
    model,
    status,
    progress: progressOf[status],
    created_at: toUnixSeconds(job.createdAtMs),
    completed_at: job.completedAtMs === null ? null : toUnixSeconds(job.completedAtMs),
    expires_at: job.expiresAtMs === null ? null : toUnixSeconds(job.expiresAtMs),
    prompt,
    size,
    seconds,
    remixed_from_video_id: null,
    error,
  };
}

/** The answer of `GET /v1/videos`; the order of `jobs` is kept. */
export function toVideoList(jobs: readonly VideoDescription[], hasMore: boolean) {
  return toPage(jobs.map(toVideoObject), hasMore);
}

/** The answer of `DELETE /v1/videos/{id}`. */
export function toDeletedVideo(id: string) {
  return { id, object: 'video.deleted', deleted: true };
}

const ListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
  after: z
    .string()
    .regex(/^video_\w{1,64}$/)
    .nullable()
    .default(null),
});

/**
 * The query of `GET /v1/videos`; an empty value counts as absent.
 * @throws AppError `invalid_request` with `param`
 */
export function parseVideoListQuery(query: Iterable<[string, string]>): z.infer<typeof ListQuery> {
  return parseBy(ListQuery, givenOf(query));
}
