import { createReadStream } from 'node:fs';
import { identityOf } from '@/features/chat/attachment-identity';
import { CONVERSATION_FILE } from '@/features/chat/to-gemini';
import { plainFileName } from '@/features/files/file-name';
import { contentOf, findFile } from '@/features/files/files';
import { discardIncoming, receiveTemporary } from '@/features/files/receive';
import { findMedia } from '@/features/media/media';
import { readMedia } from '@/features/media/open-media';
import type { Settings } from '@/features/settings/schema';
import type { UploadContent } from '@/gemini/files';
import type { ChatAttachment } from '@/openai/attachments';
import type { ChatMessage } from '@/openai/chat';
import type { CancelSignal } from '@/platform/cancellation';
import { env } from '@/platform/env';
import { AppError, isAppError } from '@/platform/errors';
import { fileTypeOfBytes, fileTypeOfFile } from '@/platform/file-type';
import type { IncomingFile } from '@/platform/incoming-file';
import { fetchPublic, isPublicFetchError } from '@/platform/public-fetch';

/** A file as the upstream takes it. */
export interface PreparedFile {
  name: string;
  mimeType: string;
  content: UploadContent;
}

/** Whose attachments they are, and what may become of them. */
export interface AttachmentScope {
  keyId: string;
  /** Where our own media are, for links to them. */
  mediaBaseUrl(): string;
  limits: Settings;
  signal: CancelSignal;
}

/** Different ones of one request. */
const MAX_ATTACHMENTS = 100;
/** All of them, the same ones again included: programs send their whole conversations. */
const MAX_MENTIONS = 2_000;
const INLINE_PIECE_BYTES = 196_608;
const UNKNOWN_TYPE = 'application/octet-stream';

/** The attachments of one request: each is looked up or fetched once, when it is first needed. */
export class Attachments {
  /** The conversation, with every attachment named. */
  readonly messages: readonly ChatMessage[];
  readonly #scope: AttachmentScope;
  readonly #files = new Map<string, Promise<PreparedFile>>();
  readonly #temporary: string[] = [];
  #isReleased = false;

  constructor(messages: readonly ChatMessage[], scope: AttachmentScope) {
    this.messages = messages;
    this.#scope = scope;
  }

  /**
   * What the attachment holds, on disk or in memory until `release`.
   * @throws AppError `invalid_request` or `not_found`, with its place, if it can't be had
   */
  open(attachment: ChatAttachment): Promise<PreparedFile> {
    const identity = identityOf(attachment);
    const known = this.#files.get(identity);
    if (known) return known;
    const opened = this.#open(attachment);
    // Whoever asks gets the failure; nobody may.
    opened.catch(() => {});
    this.#files.set(identity, opened);
    return opened;
  }

  /** Gives back what was fetched. */
  async release(): Promise<void> {
    this.#isReleased = true;
    await Promise.all(this.#temporary.map((path) => discardIncoming({ path })));
  }

  async #open(attachment: ChatAttachment): Promise<PreparedFile> {
    const name = attachment.name ?? 'file';
    switch (attachment.source) {
      case 'upload':
        return openUpload(attachment, this.#scope.keyId);
      case 'inline':
        return openInline(attachment, name);
      case 'local': {
        const { path, byteCount } = attachment;
        const mimeType = (await fileTypeOfFile(path))?.mime ?? attachment.mimeType;
        return { name, mimeType, content: contentOfFile(path, byteCount) };
      }
      case 'url':
        return (await this.#ownMedium(attachment)) ?? this.#fetch(attachment, name);
    }
  }

  /** A link to what this server has made itself, which it need not fetch from itself. */
  async #ownMedium(attachment: Extract<ChatAttachment, { source: 'url' }>) {
    const base = `${this.#scope.mediaBaseUrl()}/`;
    if (!attachment.url.startsWith(base)) return null;
    const [kind, name] = attachment.url.slice(base.length).split(/[?#]/)[0]?.split('/') ?? [];
    if ((kind !== 'image' && kind !== 'video') || !name) return null;
    const media = await findMedia(kind, name);
    if (!media) throw refused('There is no such file on this server.', attachment);
    const { mimeType, bytes } = media;
    return { name, mimeType, content: { bytes, open: () => readMedia(media) } };
  }

  async #fetch(
    attachment: Extract<ChatAttachment, { source: 'url' }>,
    name: string,
  ): Promise<PreparedFile> {
    try {
      const { path, bytes, told } = await this.#download(attachment.url);
      this.#temporary.push(path);
      if (this.#isReleased) await discardIncoming({ path });
      if (bytes === 0) throw refused('What is there is empty.', attachment);
      const found = (await fileTypeOfFile(path))?.mime;
      // What a server calls a picture may be its page of errors.
      if (attachment.isImage && !found?.startsWith('image/')) {
        throw refused('What is there is no picture.', attachment);
      }
      const mimeType = found ?? told ?? UNKNOWN_TYPE;
      return { name, mimeType, content: contentOfFile(path, bytes) };
    } catch (error) {
      if (!isPublicFetchError(error)) throw error;
      if (error.reason === 'left') throw new AppError('client_left', 'The client left.');
      throw refused(error.message, attachment, error);
    }
  }

  async #download(url: string): Promise<IncomingFile & { told: string | null }> {
    const { limits, signal } = this.#scope;
    const options = {
      maxBytes: limits.maxRemoteFileBytes,
      timeoutMs: limits.remoteFileTimeoutMs,
      connectMs: limits.connectTimeoutMs,
      allowances: env().allowances,
    };
    const reply = await fetchPublic(url, options, signal);
    try {
      const file = await receiveTemporary(reply.content, options.maxBytes);
      return { ...file, told: reply.mimeType };
    } finally {
      reply.cancel();
    }
  }
}

/** Whether a conversation brings anything along. */
export function hasAttachments(messages: readonly ChatMessage[]): boolean {
  return messages.some(({ attachments }) => attachments.length > 0);
}

/**
 * The attachments of a conversation, each with a name of its own.
 * @throws AppError `not_found` for a file that is not there, or is another key's; `invalid_request`
 *   if there are too many
 */
export async function attachmentsOf(
  messages: readonly ChatMessage[],
  scope: AttachmentScope,
): Promise<Attachments> {
  let mentions = 0;
  const taken = new Set([CONVERSATION_FILE]);
  const names = new Map<string, string>();
  const named: ChatMessage[] = [];
  for (const message of messages) {
    const attachments: ChatAttachment[] = [];
    for (const attachment of message.attachments) {
      const identity = identityOf(attachment);
      mentions += 1;
      if (mentions > MAX_MENTIONS) throw tooMany(attachment, MAX_MENTIONS, 'files');
      if (!names.has(identity) && names.size === MAX_ATTACHMENTS) {
        throw tooMany(attachment, MAX_ATTACHMENTS, 'different files');
      }
      // The same file is the same to the model, however often it is named.
      const name = names.get(identity) ?? free(await nameOf(attachment, scope.keyId), taken);
      names.set(identity, name);
      attachments.push({ ...attachment, name });
    }
    named.push({ ...message, attachments });
  }
  return new Attachments(named, scope);
}

function tooMany({ param }: ChatAttachment, most: number, what: string): AppError {
  const message = `A request may bring ${most} ${what} along.`;
  return new AppError('invalid_request', message, { param, detail: 'too_many_files' });
}

async function nameOf(attachment: ChatAttachment, keyId: string): Promise<string> {
  if (attachment.source === 'upload') {
    const { filename } = await fileOf(attachment, keyId);
    return plainFileName(attachment.name ?? filename);
  }
  if (attachment.name) return plainFileName(attachment.name);
  if (attachment.source !== 'inline') return 'file';
  const found = await fileTypeOfBytes(attachment.bytes);
  const type = found?.mime ?? attachment.mimeType ?? '';
  const [family] = type.split('/');
  const stem = family === 'image' || family === 'audio' || family === 'video' ? family : 'file';
  const extension = found?.ext ?? /\/([a-z0-9]{1,10})$/.exec(type)?.[1];
  return extension ? `${stem}.${extension}` : stem;
}

function free(name: string, taken: Set<string>): string {
  const dot = name.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  let candidate = name;
  for (let number = 2; taken.has(candidate); number += 1) {
    candidate = `${stem}-${number}${extension}`;
  }
  taken.add(candidate);
  return candidate;
}

async function openUpload(
  attachment: Extract<ChatAttachment, { source: 'upload' }>,
  keyId: string,
): Promise<PreparedFile> {
  const file = await fileOf(attachment, keyId);
  const { id, mimeType, bytes } = file;
  const name = attachment.name ?? id;
  return { name, mimeType, content: contentOfFile(await contentOf(file), bytes) };
}

async function fileOf({ fileId, param }: { fileId: string; param: string }, keyId: string) {
  try {
    return await findFile(fileId, keyId);
  } catch (error) {
    if (!isAppError(error) || error.code !== 'not_found') throw error;
    throw new AppError('not_found', error.message, { param, cause: error });
  }
}

async function openInline(
  { mimeType, bytes }: Extract<ChatAttachment, { source: 'inline' }>,
  name: string,
): Promise<PreparedFile> {
  const type = (await fileTypeOfBytes(bytes))?.mime ?? mimeType ?? UNKNOWN_TYPE;
  return { name, mimeType: type, content: { bytes: bytes.byteLength, open: () => pieces(bytes) } };
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let start = 0; start < bytes.byteLength; start += INLINE_PIECE_BYTES) {
    yield bytes.subarray(start, start + INLINE_PIECE_BYTES);
  }
}

function contentOfFile(path: string, bytes: number): UploadContent {
  return { bytes, open: () => createReadStream(/*turbopackIgnore: true*/ path) };
}

function refused(
  why: string,
  { isImage, param }: { isImage: boolean; param: string },
  cause?: unknown,
) {
  const what = isImage ? 'The picture' : 'The file';
  return new AppError('invalid_request', `${what} can't be had from its address: ${why}`, {
    param,
    detail: isImage ? 'failed_to_download_image' : 'failed_to_download_file',
    cause,
  });
}
