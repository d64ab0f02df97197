import type { CancelSignal } from '@/platform/cancellation';
import {
  apiHeaders,
  apiPath,
  callApi,
  defaultLanguage,
  type GeminiConnection,
  type GeminiIdentity,
  malformedReply,
  parseReply,
  refusalOf,
} from './api';
import { type Download, fetchFile, toDownload } from './download-reply';
import { GeminiError } from './errors';
import { readReply, type WholeReply } from './exchange';
import { type Fields, isFields, maxFileIdLength, mediaTypeOf, textOf } from './fields';
import { type FileUpload, uploadBody } from './upload-body';

export type { Download } from './download-reply';
export type { FileUpload, UploadContent } from './upload-body';

/**
 * Gives a file to a session (protocol 13) and returns its id there. The content goes up as it is
 * read: of a file of any size only some pieces are in memory.
 *
 * @throws GeminiError by `classifyReply`: `request` if the upstream does not take such a file,
 *   `state` if the session is gone; `upstream` with reason `timeout` beyond `timeouts.uploadMs`, or
 *   `malformed` if the reply names no file; `client_left` when the signal fires. What the content
 *   throws is thrown as it is, and an `Error` if it has not the length that it was said to have.
 */
export async function uploadFile(
  { endpoints, dispatcher, timeouts }: GeminiConnection,
  identity: GeminiIdentity,
  upload: FileUpload,
  signal: CancelSignal,
): Promise<string> {
  const { pieces, bytes, source } = uploadBody(identity, upload);
  const headers = apiHeaders(endpoints, identity, defaultLanguage);
  const request = {
    url: `${endpoints.apiUrl}${apiPath}/widgetAddContextFile`,
    method: 'POST' as const,
    headers: { ...headers, 'content-length': String(bytes) },
    body: pieces,
    deadlineMs: timeouts.uploadMs,
  };
  const reply = await readReply(dispatcher, request, signal).catch((error: unknown) => {
    throw source.failure ? source.failure.cause : error;
  });
  if (reply.status !== 200) throw refusalOf(reply, 'upload');
  return uploadedIdOf(reply);
}

/** What a session knows of one of its files. Names are left out: they are not to be trusted. */
export interface FileMetadata {
  fileId: string;
  /** More to be relied on than what the answer says. */
  mimeType: string | null;
  /** The full name (protocol 8.2) of the session that owns the file. */
  sessionName: string | null;
}

/**
 * The files that the upstream has generated in a session (protocol 14). A new one may be missing
 * for a moment; entries without an id are left out.
 *
 * @throws GeminiError by `classifyReply`; `upstream` with reason `malformed` if the reply is not JSON
 */
export async function listGeneratedFiles(
  connection: GeminiConnection,
  identity: GeminiIdentity,
  sessionName: string,
  signal: CancelSignal,
): Promise<FileMetadata[]> {
  const filter = 'file_origin_type = AI_GENERATED';
  const call = {
    verb: 'widgetListSessionFileMetadata',
    request: { listSessionFileMetadataRequest: { name: sessionName, filter } },
    deadlineMs: connection.timeouts.sessionMs,
  };
  const reply = await callApi(connection, identity, call, signal);
  if (reply.status !== 200) throw refusalOf(reply, 'files');
  const entries = responseOf(reply, 'listSessionFileMetadataResponse').fileMetadata;
  return Array.isArray(entries) ? entries.flatMap(metadataOf) : [];
}

/**
 * Fetches a file of a session (protocol 15), following redirects, and resolves with its first bytes
 * in hand. The content arrives as it is read, decoded where the upstream sends base64. One that is
 * not read to its end must be left or its signal aborted: it holds a connection until then.
 *
 * @param file.sessionName the full name (protocol 8.2) where it is known; used as it is.
 * @throws GeminiError by `classifyReply`. `upstream` with reason `FILE_NOT_READY` as long as there
 *   is no such file, to be tried again; `NO_BYTES` for an empty reply or JSON in its place;
 *   `forbidden_redirect`, `TOO_MANY_HOPS`; `malformed` for a name that no path can hold. The
 *   iteration throws `truncated` if the body was cut off, `upstream` with reason `malformed` for
 *   broken base64 or `timeout` beyond `timeouts.downloadIdleMs` of silence or `timeouts.downloadMs`
 *   in all, and `client_left` when the signal fires.
 */
export async function downloadFile(
  connection: GeminiConnection,
  identity: GeminiIdentity,
  file: { sessionName: string; fileId: string },
  signal: CancelSignal,
): Promise<Download> {
  const { apiUrl } = connection.endpoints;
  const path = downloadPath(file.sessionName, file.fileId);
  const endsAtMs = performance.now() + connection.timeouts.downloadMs;
  const fetch = (prefix: string) =>
    fetchFile(connection, identity, new URL(`${apiUrl}${prefix}/${path}`), endsAtMs, signal);
  const reply = (await fetch('/v1alpha')) ?? (await fetch('/download/v1alpha'));
  if (reply !== null) return toDownload(reply);
  throw new GeminiError('upstream', 'The upstream does not have the file yet', {
    reason: 'FILE_NOT_READY',
    status: 404,
  });
}

/** Names of the upstream are not to be trusted: each part of one stays a part of the path. */
function downloadPath(sessionName: string, fileId: string): string {
  const parts = sessionName.split('/');
  if (parts.some((part) => /^\.{0,2}$/.test(part)) || !isWellFormed(sessionName + fileId)) {
    throw malformedReply('The file or its session has an impossible name');
  }
  const session = parts.map(encodeURIComponent).join('/');
  return `${session}:downloadFile?fileId=${encodeURIComponent(fileId)}&alt=media`;
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

function uploadedIdOf(reply: WholeReply): string {
  const fileId = fileIdOf(responseOf(reply, 'addContextFileResponse').fileId);
  if (fileId === null) throw malformedReply('The upload reply names no file');
  return fileId;
}

function metadataOf(entry: unknown): FileMetadata[] {
  if (!isFields(entry)) return [];
  const fileId = fileIdOf(entry.fileId);
  if (fileId === null) return [];
  return [
    {
      fileId,
      mimeType: mediaTypeOf(entry.mimeType),
      sessionName: textOf(entry.session),
    },
  ];
}

/** The named part of a good reply; empty if the reply has none. */
function responseOf(reply: WholeReply, name: string): Fields {
  const body = parseReply(reply);
  const response = isFields(body) ? body[name] : null;
  return isFields(response) ? response : {};
}

/** Ids are told as strings; a number is its digits as long as none is lost. */
function fileIdOf(value: unknown): string | null {
  return textOf(Number.isSafeInteger(value) ? String(value) : value, maxFileIdLength);
}
