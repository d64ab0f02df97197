import { readForm } from '@/api/openai/read-form';
import { discardUpload, receiveTemporary } from '@/features/files/files';
import { settings } from '@/features/settings/settings';
import type { ChatAttachment } from '@/openai/attachments';

/** What a form has around each file. */
const FORM_BYTES = 65_536;
const MAX_FIELDS = 50;
const MAX_FIELD_BYTES = 1_048_576;

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
 * Reads a form with at most so many files of each field.
 * @throws AppError as `readForm`, and `payload_too_large`
 */
export async function readAttachmentForm(
  request: Request,
  maxCounts: Record<string, number>,
): Promise<AttachmentForm> {
  const { maxFileBytes } = await settings();
  const form = await readForm(request, {
    files: maxCounts,
    receive: (content) => receiveTemporary(content, maxFileBytes),
    discard: discardUpload,
    maxBytes: (maxFileBytes + FORM_BYTES) * sum(Object.values(maxCounts)),
    maxFields: MAX_FIELDS,
    maxFieldBytes: MAX_FIELD_BYTES,
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

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
