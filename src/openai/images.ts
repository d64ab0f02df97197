import { z } from 'zod';
import { type ChatAttachment, toAttachment } from '@/openai/attachments';
import type { Usage } from '@/openai/completion';
import { listOf, missingParameter, parseBy } from '@/openai/validation';
import { AppError } from '@/platform/errors';

/** The most images of one request (contract 8.2). */
const MAX_IMAGES = 10;
/** The most pictures that an edit starts from (contract 8.3). */
export const MAX_EDITED_IMAGES = 16;
const DEFAULT_MODEL = 'gemini-image';

const word = z.string().max(100).nullish();

/** What both endpoints take. What changes nothing here is checked and has no effect. */
const common = {
  prompt: z.string().min(1).max(100_000),
  model: z.string().min(1).nullish(),
  n: z.int().min(1).max(MAX_IMAGES).nullish(),
  response_format: z.enum(['url', 'b64_json']).nullish(),
  size: z
    .string()
    .regex(/^(?:auto|\d{2,5}x\d{2,5})$/)
    .nullish(),
  quality: word,
  style: word,
  background: word,
  output_format: z.enum(['png', 'jpeg', 'webp']).nullish(),
  moderation: word,
  user: z.string().nullish(),
  stream: z
    .union([z.boolean(), z.enum(['true', 'false'])])
    .refine((asked) => asked !== true && asked !== 'true', 'Images are not streamed.')
    .nullish(),
};

const Generation = z.object(common);

const EditedImage = z.object({
  image_url: z.union([z.string(), z.object({ url: z.string() })]).nullish(),
  file_id: z.string().min(1).max(200).nullish(),
});
const Edit = z.object({
  ...common,
  images: listOf(EditedImage, { min: 1, max: MAX_EDITED_IMAGES }),
  mask: EditedImage.nullish(),
});

/** What a request for images asks for. */
export interface ImageParameters {
  model: string;
  prompt: string;
  n: number;
  /** How each is answered. */
  format: 'url' | 'b64_json';
  /** The pictures that an edit starts from, its mask first; empty for a generation. */
  attachments: ChatAttachment[];
}

/**
 * Checks the body of `POST /v1/images/generations`.
 * @throws AppError `invalid_request` with `param`
 */
export function parseImageGeneration(body: object): ImageParameters {
  return toParameters(parseBy(Generation, body), [], null);
}

/**
 * Checks the JSON body of `POST /v1/images/edits`.
 * @throws AppError `invalid_request` with `param`
 */
export function parseImageEdit(body: object): ImageParameters {
  const request = parseBy(Edit, body);
  const images = request.images.map((image, index) => attachmentOf(image, `images[${index}]`));
  return toParameters(request, images, request.mask ? attachmentOf(request.mask, 'mask') : null);
}

/**
 * Checks the fields of a form for `POST /v1/images/edits`, whose pictures came as files.
 * @throws AppError `invalid_request` with `param`
 */
export function parseImageEditForm(
  fields: ReadonlyMap<string, string>,
  images: readonly ChatAttachment[],
  mask: ChatAttachment | null,
): ImageParameters {
  if (images.length === 0) {
    throw missingParameter('image');
  }
  if (images.length > MAX_EDITED_IMAGES) {
    throw new AppError('invalid_request', `An edit takes ${MAX_EDITED_IMAGES} images at most.`, {
      param: 'image',
      detail: 'invalid_value',
    });
  }
  const { n, ...texts } = Object.fromEntries(fields);
  const body = { ...texts, ...(n !== undefined && { n: /^\d+$/.test(n) ? Number(n) : n }) };
  return toParameters(parseBy(Generation, body), images, mask);
}

/** Of two files of one name the first keeps it, so the mask comes first. */
const MASK_NAME = 'mask.png';

function toParameters(
  request: z.infer<typeof Generation>,
  images: readonly ChatAttachment[],
  mask: ChatAttachment | null,
): ImageParameters {
  const { prompt, model, n, response_format: format } = request;
  const note = `${MASK_NAME} is a mask: change the picture only where the mask is transparent.\n\n`;
  return {
    model: (model ?? DEFAULT_MODEL).toWellFormed(),
    prompt: (mask ? note : '') + prompt.toWellFormed(),
    n: n ?? 1,
    format: format ?? 'url',
    attachments: mask ? [{ ...mask, name: MASK_NAME }, ...images] : [...images],
  };
}

function attachmentOf(image: z.infer<typeof EditedImage>, path: string): ChatAttachment {
  const { image_url: url, file_id: fileId } = image;
  if (fileId) return { source: 'upload', fileId, name: null, param: `${path}.file_id` };
  if (url) {
    const text = typeof url === 'string' ? url : url.url;
    return toAttachment({ type: 'image_url', image_url: text }, path);
  }
  throw missingParameter(path, "Give 'image_url' or 'file_id'.");
}

/** The answer of both endpoints (contract 8.2). */
export interface ImagesResponse {
  /** Unix seconds. */
  created: number;
  data: ({ url: string } | { b64_json: string })[];
  usage: Pick<Usage, 'total_tokens'> & { input_tokens: number; output_tokens: number };
}
