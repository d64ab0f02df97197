import type { Lease } from '@/features/accounts/lease';
import { identityOf } from '@/features/chat/attachment-identity';
import type { Attachments, PreparedFile } from '@/features/chat/attachments';
import type { UpstreamSession } from '@/features/chat/upstream-sessions';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { uploadFile } from '@/gemini/files';
import type { ChatAttachment } from '@/openai/attachments';
import type { ChatMessage } from '@/openai/chat';
import type { CancelSignal } from '@/platform/cancellation';
import { AppError, isAppError } from '@/platform/errors';
import { inParallel } from '@/platform/parallel';

/** Of one request at the same time. */
const PARALLEL_UPLOADS = 3;

/** The fault of a file for which no account is to blame, and which none would mend. */
export const UNUSABLE_ATTACHMENT = 'UNUSABLE_ATTACHMENT';

/**
 * Gives the attachments of `messages` to the session, but for those that it has already.
 * @returns their upstream ids, in order, each once
 * @throws GeminiError `request` with the caller's own error as its cause if a file can't be used;
 *   AppError `storage_full` if there is no room to fetch one
 */
export async function uploadAttachments(
  lease: Lease,
  session: UpstreamSession,
  messages: readonly ChatMessage[],
  attachments: Attachments,
  signal: CancelSignal,
): Promise<string[]> {
  const wanted = new Map<string, ChatAttachment>();
  for (const message of messages) {
    for (const attachment of message.attachments) wanted.set(identityOf(attachment), attachment);
  }
  session.fileIds ??= new Map();
  const { fileIds } = session;
  // What is at an address may have changed since the session got it.
  const missing = [...wanted].filter(
    ([identity, { source }]) => source === 'url' || !fileIds.has(identity),
  );
  await inParallel(missing, PARALLEL_UPLOADS, async ([identity, attachment]) => {
    const file = await attachments.open(attachment).catch(asGeminiError);
    fileIds.set(identity, await upload(lease, session, file, attachment.param, signal));
  });
  return [...wanted.keys()].flatMap((identity) => fileIds.get(identity) ?? []);
}

/** Gives one file to the session and returns its upstream id. */
export async function upload(
  lease: Lease,
  { name: sessionName }: UpstreamSession,
  { name: fileName, mimeType, content }: PreparedFile,
  param: string,
  signal: CancelSignal,
): Promise<string> {
  const file = { sessionName, fileName, mimeType, content };
  try {
    return await lease.call((identity) => uploadFile(lease.connection, identity, file, signal));
  } catch (error) {
    if (isGeminiError(error) && error.fault === 'request') {
      throw unusable(refusalOf(error, mimeType, param));
    }
    throw isGone(error) ? unusable(goneError(param)) : error;
  }
}

function refusalOf(error: GeminiError, mimeType: string, param: string): AppError {
  const message =
    error.reason === 'UNSUPPORTED_FILE_TYPE'
      ? `The upstream does not take files of the type ${mimeType}.`
      : error.reason === 'FILE_TOO_LARGE'
        ? 'The file is larger than the upstream takes.'
        : 'The upstream did not take the file.';
  return new AppError('invalid_request', message, { param, detail: 'invalid_file', cause: error });
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOENT';
}

/** It was deleted after the request had begun. */
function goneError(param: string): AppError {
  return new AppError('not_found', 'The file is no longer there.', { param });
}

function asGeminiError(error: unknown): never {
  throw isAppError(error) && error.code !== 'storage_full' ? unusable(error) : error;
}

function unusable(error: AppError): GeminiError {
  const fault = error.code === 'client_left' ? 'client_left' : 'request';
  return new GeminiError(fault, error.message, { reason: UNUSABLE_ATTACHMENT, cause: error });
}
