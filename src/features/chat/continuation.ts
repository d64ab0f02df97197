import { hash } from 'node:crypto';
import { identityOf } from '@/features/chat/attachment-identity';
import { noAttachments } from '@/openai/attachments';
import type { ChatMessage } from '@/openai/chat';

/**
 * How a conversation is told apart from all others: a chain of hashes over its turns as the upstream
 * gets them, begun with the caller's key and the model. Two have the same hash only if all of that is
 * the same, so that nobody ever continues what another one has said.
 */

/** Whose conversation it is, and with what. */
export interface Scope {
  keyId: string;
  modelId: string;
  upstreamModelId: string | null;
  tools: readonly string[];
}

/** The first turns of a conversation. */
export interface Prefix {
  /** How many. */
  length: number;
  hash: string;
}

/** A conversation as it is looked up and remembered. */
export interface Thread {
  /** The beginnings after which there is something new to say, the longest first: each ends with a reply. */
  prefixes: Prefix[];
  /** Of all turns; null if what comes now is no reply to them: the last one is a reply itself. */
  hash: string | null;
}

/** Of what is not continued. */
export const noThread: Thread = { prefixes: [], hash: null };

/** The thread of the whole conversation `messages`. */
export function threadOf(scope: Scope, messages: readonly ChatMessage[]): Thread {
  const { keyId, modelId, upstreamModelId, tools } = scope;
  const prefixes: Prefix[] = [];
  let current = JSON.stringify([keyId, modelId, upstreamModelId, tools]);
  messages.forEach((message, index) => {
    current = hashWith(current, message);
    const length = index + 1;
    const isPrefix = message.role === 'assistant' && length < messages.length;
    if (isPrefix) prefixes.push({ length, hash: current });
  });
  const isOpen = messages.at(-1)?.role !== 'assistant';
  return { prefixes: prefixes.reverse(), hash: isOpen ? current : null };
}

/** The hash of a conversation and the reply that its caller got, as the next request brings it. */
export function hashWithReply(conversationHash: string, text: string): string {
  return hashWith(conversationHash, {
    role: 'assistant',
    name: null,
    text,
    attachments: noAttachments,
    toolCalls: [],
    toolCallId: null,
  });
}

const ENCODING = 'base64url';

function hashWith(before: string, message: ChatMessage): string {
  // A head holds no line break, so that nothing can look like another.
  return hash('sha256', `${before}${headOf(message)}\n${message.text}`, ENCODING);
}

function headOf({ role, name, toolCallId, toolCalls, attachments }: ChatMessage): string {
  const hasFiles = attachments.length > 0;
  // An empty name is none to the upstream.
  if (!name && !toolCallId && toolCalls.length === 0 && !hasFiles) return role;
  const calls = toolCalls.map((call) => [call.id, call.name, call.arguments]);
  const files = attachments.map(identityOf);
  return JSON.stringify([role, name || null, toolCallId || null, calls, files]);
}
