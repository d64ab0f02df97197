import type { ChatMessage, ChatToolCall } from '@/openai/chat';

/**
 * The conversation as the one text that the upstream takes. A single user text goes up as it is,
 * unless it is empty: the upstream refuses an empty query.
 * Else each turn stands between tags of its role, with the names of its files, system turns first,
 * all else in order; a last assistant turn stays open, so that the model goes on from it. Texts are
 * not changed in any way.
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

/** The name under which a whole conversation goes up as a file. */
export const CONVERSATION_FILE = 'conversation.txt';

/** A longer last message stands in the file alone. */
const MAX_REPEATED_CHARACTERS = 20_000;

/** What is asked beside the file that holds the conversation: its last message stands at the end. */
export function toFilePrompt(messages: readonly ChatMessage[]): string {
  const note =
    `The whole conversation so far is in the attached file ${CONVERSATION_FILE}, since it is long. ` +
    'Read all of it, and answer its last message.';
  const last = messages.at(-1)?.text ?? '';
  const isRepeated = last !== '' && last.length <= MAX_REPEATED_CHARACTERS;
  return isRepeated ? `${note} It is repeated here:\n\n${last}` : note;
}

function isPrefill({ role, toolCalls }: ChatMessage): boolean {
  return role === 'assistant' && toolCalls.length === 0;
}

function open(message: ChatMessage): string {
  const { role, name, toolCallId, toolCalls, text, attachments } = message;
  const files = attachments.length === 0 ? null : attachments.map((each) => each.name).join(', ');
  const tag = openingTag(role, { call_id: toolCallId, name, files });
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
