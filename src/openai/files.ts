import { z } from 'zod';
import { givenOf, toPage, toUnixSeconds } from '@/openai/page';
import { missingParameter, parseBy } from '@/openai/validation';
import type { AppError } from '@/platform/errors';

/** A file object (contract 7). */
export interface FileObject {
  id: string;
  object: 'file';
  bytes: number;
  /** Unix seconds, as is `expires_at`. */
  created_at: number;
  expires_at?: number;
  filename: string;
  purpose: string;
  status: 'processed';
}

/** What the wire form of a file is made of. */
export interface FileDescription {
  id: string;
  bytes: number;
  createdAtMs: number;
  expiresAtMs: number | null;
  filename: string;
  purpose: string;
}

/** The wire form of a file; upload, list and retrieve answer the very same. */
export function toFileObject(file: FileDescription): FileObject {
  const { id, bytes, createdAtMs, expiresAtMs, filename, purpose } = file;
  return {
    id,
    object: 'file',
    bytes,
    created_at: toUnixSeconds(createdAtMs),
    ...(expiresAtMs === null ? {} : { expires_at: toUnixSeconds(expiresAtMs) }),
    filename,
    purpose,
    status: 'processed',
  };
}

/** The answer of `GET /v1/files`; the order of `files` is kept. */
export function toFileList(files: readonly FileDescription[], hasMore: boolean) {
  return toPage(files.map(toFileObject), hasMore);
}

/** The answer of `DELETE /v1/files/{id}`. */
export function toDeletedFile(id: string) {
  return { id, object: 'file', deleted: true };
}

const uploadPurposes = [
  'assistants',
  'batch',
  'fine-tune',
  'vision',
  'user_data',
  'evals',
] as const;

/** Those of files that the official service makes; a list may ask for them. */
const outputPurposes = ['assistants_output', 'batch_output', 'fine-tune-results'] as const;

const ListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(10_000).default(10_000),
  order: z.enum(['asc', 'desc']).default('desc'),
  after: z
    .string()
    .regex(/^file-\w{1,64}$/)
    .nullable()
    .default(null),
  purpose: z
    .enum([...uploadPurposes, ...outputPurposes])
    .nullable()
    .default(null),
});

export type FileListQuery = z.infer<typeof ListQuery>;

/**
 * The query of `GET /v1/files`; an empty value counts as absent.
 * @throws AppError `invalid_request` with `param`
 */
export function parseFileListQuery(query: Iterable<[string, string]>): FileListQuery {
  return parseBy(ListQuery, givenOf(query));
}

const UploadFields = z.object({
  purpose: z.enum(uploadPurposes),
  expires_after: z
    .object({
      anchor: z.literal('created_at'),
      seconds: z.coerce.number().int().min(3_600).max(2_592_000),
    })
    .optional(),
});

export interface UploadFields {
  purpose: (typeof uploadPurposes)[number];
  /** Null: never. */
  expiresAfterSeconds: number | null;
}

/**
 * The fields of an upload beside the file, with the names that the SDKs give them.
 * @throws AppError `invalid_request` with `param`
 */
export function parseUploadFields(fields: ReadonlyMap<string, string>): UploadFields {
  const anchor = fields.get('expires_after[anchor]');
  const seconds = fields.get('expires_after[seconds]');
  const { purpose, expires_after: expiry } = parseBy(UploadFields, {
    purpose: fields.get('purpose'),
    ...((anchor ?? seconds) !== undefined && { expires_after: { anchor, seconds } }),
  });
  return { purpose, expiresAfterSeconds: expiry?.seconds ?? null };
}

/** The error for an upload without a file. */
export function missingFile(): AppError {
  return missingParameter('file');
}
