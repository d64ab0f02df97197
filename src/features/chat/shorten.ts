import { noAttachments } from '@/openai/attachments';
import type { ChatMessage } from '@/openai/chat';

const NOTE: ChatMessage = {
  role: 'system',
  name: null,
  text: 'Earlier turns of this conversation were left out here, since it is longer than can be taken.',
  attachments: noAttachments,
  toolCalls: [],
  toolCallId: null,
};

/**
 * The conversation without its oldest turns, at most half as long as before in what may be left out:
 * never a system turn nor the last one, nor the turn with the calls whose results are last. A line
 * to the model in their place says so. Null if nothing is left to leave out. The result may be given
 * in again.
 */
export function shortened(messages: readonly ChatMessage[]): ChatMessage[] | null {
  const mayGo = messages.slice(0, lastStep(messages)).filter(({ role }) => role !== 'system');
  if (mayGo.length === 0) return null;
  let room = Math.floor(mayGo.reduce((sum, { text }) => sum + text.length, 0) / 2);
  let kept = mayGo.length;
  while (kept > 0) {
    room -= mayGo[kept - 1]?.text.length ?? 0;
    if (room < 0) break;
    kept -= 1;
  }
  // Results whose calls are gone would make no sense. The oldest turn goes in any case.
  kept = Math.max(1, kept);
  while (mayGo[kept]?.role === 'tool') kept += 1;
  const gone = new Set(mayGo.slice(0, kept));
  const rest = messages.filter((message) => message !== NOTE && !gone.has(message));
  const place = rest.findIndex(({ role }) => role !== 'system');
  return rest.toSpliced(place < 0 ? -1 : place, 0, NOTE);
}

/** Where the last turn stands or, if that is a result, the turn that has called for it. */
function lastStep(messages: readonly ChatMessage[]): number {
  if (messages.at(-1)?.role !== 'tool') return messages.length - 1;
  const isCaller = ({ role }: ChatMessage) => role !== 'tool' && role !== 'system';
  return Math.max(0, messages.findLastIndex(isCaller));
}
