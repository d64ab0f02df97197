import type { BodyShare } from '@/api/openai/body-budget';
import { readForm } from '@/api/openai/read-form';
import { discardIncoming, receiveTemporary } from '@/features/files/receive';
import { settings } from '@/features/settings/settings';
import type { ChatAttachment } from '@/openai/attachments';

const MAX_FIELDS = 20;
const MAX_FIELD_BYTES = 131_072;
/** As much as a prompt of 100,000 characters may take. */
const MAX_PROMPT_BYTES = 300_000;
/** What a form has beside its files. */
const FORM_BYTES = MAX_FIELDS * MAX_FIELD_BYTES + MAX_PROMPT_BYTES;

/** A form whose files are for the upstream, and for this request alone. */
export interface AttachmentForm {
  fields: ReadonlyMap<string, string>;
  /** The files of a field, in order. */
  of(field: string): ChatAttachment[];
  /** To be called once the request is over. */
  discard(): Promise<void>;
}

/** Whether the body of a request is a form. */
export function isForm(request: Request): boolean {
  return /^multipart\/form-data\b/i.test(request.headers.get('content-type') ?? '');
}

/**
 * Reads a form with at most so many files of each field, which may have together as much as one file.
 * `share` gets the bytes of its other fields.
 * @throws AppError as `readForm`, and `payload_too_large`
 */
export async function readAttachmentForm(
  request: Request,
  maxCounts: Record<string, number>,
  share: BodyShare,
): Promise<AttachmentForm> {
  const { maxFileBytes } = await settings();
  const form = await readForm(request, {
    files: maxCounts,
    receive: (content) => receiveTemporary(content, maxFileBytes),
    discard: discardIncoming,
    maxBytes: maxFileBytes + FORM_BYTES,
    maxFields: MAX_FIELDS,
    maxFieldBytes: MAX_FIELD_BYTES,
    longFields: { prompt: MAX_PROMPT_BYTES },
    share,
  });
  const attachments = form.files.map(({ field, filename, mimeType, file }) => ({
    field,
    attachment: {
      source: 'local' as const,
      name: filename,
      mimeType,
      path: file.path,
      byteCount: file.bytes,
      param: field,
    },
  }));
  return {
    fields: form.fields,
    of: (field) => attachments.flatMap((each) => (each.field === field ? [each.attachment] : [])),
    discard: () => form.discard(),
  };
}
