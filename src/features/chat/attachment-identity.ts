import { hash } from 'node:crypto';
import type { ChatAttachment } from '@/openai/attachments';

const known = new WeakMap<ChatAttachment, string>();

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
      return [attachment.mimeType, hash('sha256', attachment.bytes, 'base64url')];
    case 'local':
      return [attachment.path];
  }
}
