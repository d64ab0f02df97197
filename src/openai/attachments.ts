import { z } from 'zod';
import { show } from '@/openai/validation';
import { AppError } from '@/platform/errors';

/** A picture or another file that a message brings along (contract 3.3), wherever its bytes are. */
export type ChatAttachment = {
  /** What the model is told of it; null as long as nobody knows. */
  name: string | null;
  /** Its place in the request, such as `messages[1].content[0].image_url`, for errors. */
  param: string;
} & (
  | { source: 'upload'; fileId: string }
  | { source: 'inline'; mimeType: string | null; bytes: Uint8Array }
  | { source: 'url'; url: string; isImage: boolean }
  /** In a file on this machine, which belongs to the request alone. */
  | { source: 'local'; mimeType: string; path: string; byteCount: number }
);

/** No message without attachments needs a list of its own. */
export const noAttachments: readonly ChatAttachment[] = [];

const MAX_URL_CHARACTERS = 8_192;

const url = z.union([z.string(), z.object({ url: z.string() }).transform((object) => object.url)]);
const fileId = z.string().min(1).max(200);

const audioTypes = { wav: 'audio/wav', mp3: 'audio/mpeg' } as const;

const ImagePart = z.object({ type: z.literal('image_url'), image_url: url });
const VideoPart = z.object({ type: z.literal('video_url'), video_url: url });
/** The seed's own form: `data` is a data URL or bare base64. */
const DataPart = z.object({ type: z.literal('image'), data: z.string() });
const AudioPart = z.object({
  type: z.literal('input_audio'),
  input_audio: z.object({ data: z.string(), format: z.enum(['wav', 'mp3']) }),
});
const FilePart = z.object({
  type: z.literal('file'),
  file_id: fileId.nullish(),
  file: z
    .object({
      file_id: fileId.nullish(),
      id: fileId.nullish(),
      file_data: z.string().nullish(),
      filename: z.string().max(1_000).nullish(),
    })
    .nullish(),
});

/** The parts of a message that are no text; what they hold is looked at by `toAttachment`. */
export const attachmentParts = [ImagePart, VideoPart, DataPart, AudioPart, FilePart] as const;

export type AttachmentPart = z.infer<(typeof attachmentParts)[number]>;

/** A file of the older `prompts` form (contract 3.4). */
export const PromptFile = z.object({ data: z.string(), type: z.string().nullish() });

/**
 * What a part attaches. `path` is its place in the request.
 * @throws AppError `invalid_request` if it can't be used: neither id nor data, no base64, no web address
 */
export function toAttachment(part: AttachmentPart, path: string): ChatAttachment {
  switch (part.type) {
    case 'image_url':
      return fromUrl(part.image_url, true, `${path}.image_url`);
    case 'video_url':
      return fromUrl(part.video_url, false, `${path}.video_url`);
    case 'image':
      return fromData(part.data, null, null, `${path}.data`, 'invalid_base64_image');
    case 'input_audio': {
      const { data, format } = part.input_audio;
      return fromData(data, audioTypes[format], null, `${path}.input_audio`, 'invalid_audio');
    }
    case 'file':
      return fromFile(part, `${path}.file`);
  }
}

/** The same for a file of a `prompts` entry. */
export function toPromptAttachment({ data, type }: z.infer<typeof PromptFile>, path: string) {
  const isImage = !type || /^image/i.test(type);
  return isWebUrl(data)
    ? fromUrl(data, isImage, `${path}.data`)
    : fromData(data, null, null, `${path}.data`, 'invalid_base64_image');
}

function fromFile(part: z.infer<typeof FilePart>, param: string): ChatAttachment {
  const id = part.file?.file_id ?? part.file?.id ?? part.file_id;
  if (id) return { source: 'upload', fileId: id, name: null, param };
  const { file_data: data, filename } = part.file ?? {};
  if (data) return fromData(data, null, filename ?? null, param, 'invalid_file_data');
  throw refuse("A 'file' part needs 'file_id', or 'file_data' with its content.", param, {
    detail: 'missing_required_parameter',
  });
}

function fromUrl(text: string, isImage: boolean, param: string): ChatAttachment {
  if (/^data:/i.test(text)) {
    return fromData(
      text,
      null,
      null,
      param,
      isImage ? 'invalid_base64_image' : 'invalid_file_data',
    );
  }
  if (!isWebUrl(text)) {
    const message = `${show(text)} is neither an http(s) address nor a data URL.`;
    throw refuse(message, param, { detail: isImage ? 'invalid_image_url' : 'invalid_url' });
  }
  return { source: 'url', url: text, isImage, name: nameInUrl(text), param };
}

function isWebUrl(text: string): boolean {
  return text.length <= MAX_URL_CHARACTERS && /^https?:\/\//i.test(text) && URL.canParse(text);
}

function nameInUrl(text: string): string | null {
  const last = new URL(text).pathname.split('/').at(-1) ?? '';
  return /^[\w.-]{1,100}$/.test(last) ? last : null;
}

const dataUrl = /^data:([^,;]*)((?:;[^,;]*)*),/i;

function fromData(
  text: string,
  knownType: string | null,
  name: string | null,
  param: string,
  detail: string,
): ChatAttachment {
  // Only the head is matched: the rest may be megabytes.
  const head = dataUrl.exec(text.slice(0, 1_000));
  const isBase64 = !head || /;base64$/i.test(head[2] ?? '');
  const bytes = isBase64 ? fromBase64(head ? text.slice(head[0].length) : text) : null;
  if (bytes === null) throw refuse('The data is not valid base64.', param, { detail });
  if (bytes.byteLength === 0) throw refuse('The data is empty.', param, { detail });
  const told = head?.[1]?.toLowerCase() ?? '';
  const mimeType = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/.test(told) ? told : knownType;
  return { source: 'inline', mimeType, bytes, name: name?.toWellFormed() ?? null, param };
}

/** The bytes of standard or URL-safe base64, with or without padding and line breaks; null if it is none. */
function fromBase64(text: string): Uint8Array | null {
  const packed = /\s/.test(text) ? text.replace(/\s+/g, '') : text;
  const padding = packed.endsWith('==') ? 2 : packed.endsWith('=') ? 1 : 0;
  const digits = packed.length - padding;
  const bytes = Buffer.from(packed, 'base64');
  // The decoder leaves out what is no digit; the count then does not fit.
  return digits % 4 === 1 || bytes.length !== Math.floor((digits * 3) / 4) ? null : bytes;
}

function refuse(message: string, param: string, { detail }: { detail: string }): AppError {
  return new AppError('invalid_request', message, { param, detail });
}
