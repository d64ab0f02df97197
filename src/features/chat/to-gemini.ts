import type { ChatMessage, ChatToolCall } from '@/openai/chat';

/**
 * The conversation as the one text that the upstream takes. A single user text goes up as it is,
 * unless it is empty: the upstream refuses an empty query.
 * Else each turn stands between tags of its role, system turns first, all else in order; a last
 * assistant turn stays open, so that the model goes on from it. Texts are not changed in any way.
 */
export function toPrompt(messages: readonly ChatMessage[]): string {
  const [only] = messages;
  if (messages.length === 1 && only?.role === 'user' && only.text !== '') return only.text;
  const last = messages.at(-1);
  const system = messages.filter((message) => message.role === 'system');
  const conversation = messages.filter((message) => message.role !== 'system');
  return [...system, ...conversation]
    .map((message) => (message === last && isPrefill(message) ? open(message) : closed(message)))
    .join('\n\n');
}

function isPrefill({ role, toolCalls }: ChatMessage): boolean {
  return role === 'assistant' && toolCalls.length === 0;
}

function open(message: ChatMessage): string {
  const { role, name, toolCallId, toolCalls, text } = message;
  const tag = openingTag(role, { call_id: toolCallId, name });
  const calls = toolCalls.map(toolCall);
  // Beside calls an empty text is none; elsewhere it is what the caller said.
  const body = text === '' && calls.length > 0 ? calls : [text, ...calls];
  return [tag, ...body].join('\n');
}

function closed(message: ChatMessage): string {
  return `${open(message)}\n</${message.role}>`;
}

function toolCall({ id, name, arguments: json }: ChatToolCall): string {
  return `${openingTag('tool_call', { id, name })}\n${json}\n</tool_call>`;
}

function openingTag(tag: string, attributes: Record<string, string | null>): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== null && value !== '')
    .map(([attribute, value]) => ` ${attribute}="${attributeValue(value ?? '')}"`);
  return `<${tag}${written.join('')}>`;
}

const escapes: Record<string, string> = { '&': '&amp;', '"': '&quot;', '<': '&lt;', '>': '&gt;' };

/** A tag stays on one line and ends where it should, whatever the name. */
function attributeValue(value: string): string {
  return value.replace(/[&"<>]/g, (character) => escapes[character] ?? '').replace(/\s+/g, ' ');
}
