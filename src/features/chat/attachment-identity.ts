import { hash } from 'node:crypto';
import type { ChatAttachment } from '@/openai/attachments';

const known = new WeakMap<ChatAttachment, string>();
/** By the bytes, which several attachments may share: some are megabytes. */
const sums = new WeakMap<Uint8Array, string>();

/**
 * What tells an attachment from all others: two of the same identity are the same to the upstream. An
 * address is taken by its name, whatever it holds at the moment, so that a conversation goes on when
 * it has ended.
 */
export function identityOf(attachment: ChatAttachment): string {
  const found = known.get(attachment);
  if (found !== undefined) return found;
  const identity = JSON.stringify([attachment.source, attachment.name, ...tellingOf(attachment)]);
  known.set(attachment, identity);
  return identity;
}

function tellingOf(attachment: ChatAttachment): (string | null)[] {
  switch (attachment.source) {
    case 'upload':
      return [attachment.fileId];
    case 'url':
      return [attachment.url];
    case 'inline':
      return [attachment.mimeType, sumOf(attachment.bytes)];
    case 'local':
      return [attachment.path];
  }
}

function sumOf(bytes: Uint8Array): string {
  const sum = sums.get(bytes) ?? hash('sha256', bytes, 'base64url');
  sums.set(bytes, sum);
  return sum;
}
