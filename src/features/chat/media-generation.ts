import { attachmentsOf } from '@/features/chat/attachments';
import { type Caller, createCompletion, type TokenUsage } from '@/features/chat/completion';
import type { ShownMedia } from '@/features/chat/generated-media';
import { getModel, type Model } from '@/features/models/models';
import { settings } from '@/features/settings/settings';
import type { ChatAttachment } from '@/openai/attachments';
import type { ChatCompletionParameters } from '@/openai/chat';
import { AppError, excerpt } from '@/platform/errors';
import { log } from '@/platform/log';

/** What is to be drawn or filmed. */
export interface MediaOrder {
  kind: 'image' | 'video';
  model: string;
  prompt: string;
  attachments: readonly ChatAttachment[];
}

/** What came of an order. */
export interface MediaResult {
  model: Model;
  media: ShownMedia[];
  usage: TokenUsage;
}

/** Questions of one order at the same time. */
const PARALLEL_QUESTIONS = 4;
const MAX_SHOWN_WORDS = 300;

/**
 * Looks at what an order names, without carrying it out.
 * @returns its attachments, each with a name
 * @throws AppError `model_not_found`, `model_not_allowed`; `not_found` for a file that is not there
 */
export async function checkOrder(
  order: MediaOrder,
  { key, mediaBaseUrl, signal }: Caller,
): Promise<readonly ChatAttachment[]> {
  await getModel(key.models, order.model);
  const scope = { keyId: key.id, mediaBaseUrl, limits: await settings(), signal };
  const { messages } = await attachmentsOf(questionOf(order).messages, scope);
  return messages.flatMap(({ attachments }) => attachments);
}

/**
 * Has `count` pictures or videos made: a question each, unless one answer brings several. Fewer come
 * back only where some of the questions failed, since what is there has been paid for; the log tells.
 * @throws AppError of the first failure if nothing was made; `no_image_generated` or
 *   `no_video_generated` if there were words only
 */
export async function generateMedia(
  order: MediaOrder,
  count: number,
  caller: Caller,
): Promise<MediaResult[]> {
  const results: MediaResult[] = [];
  const failures: unknown[] = [];
  let open = count;
  let made = 0;
  const worker = async () => {
    // What is under way counts as one each; an answer with more spares questions.
    while (open > 0 && made < count && failures.length === 0) {
      open -= 1;
      try {
        const result = await generateOnce(order, caller);
        results.push(result);
        made += result.media.length;
        open -= result.media.length - 1;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, PARALLEL_QUESTIONS) }, worker));
  if (results.length === 0) throw failures[0];
  const { requestId } = caller.trace;
  for (const err of failures) {
    log().warn({ requestId, wanted: count, made, err }, `a question for one ${order.kind} failed`);
  }
  return results;
}

/** One question. @throws AppError also if it brings words only */
async function generateOnce(order: MediaOrder, caller: Caller): Promise<MediaResult> {
  const { kind } = order;
  const completion = await createCompletion(questionOf(order), caller, kind);
  const media: ShownMedia[] = [];
  let words = '';
  for await (const batch of completion.pieces) {
    for (const piece of batch) {
      if (piece.type === 'media' && piece.media.kind === kind) media.push(piece.media);
      else if (piece.type === 'text') words += piece.text;
    }
  }
  if (media.length === 0) throw wordsOnly(kind, words);
  return { model: completion.model, media, usage: completion.usage() };
}

function questionOf({ model, prompt, attachments }: MediaOrder): ChatCompletionParameters {
  const message = { role: 'user' as const, name: null, text: prompt, attachments };
  return {
    model,
    messages: [{ ...message, toolCalls: [], toolCallId: null }],
    stream: false,
    includeUsage: false,
    n: 1,
    stop: [],
    maxTokens: null,
    conversationId: null,
    imageFormat: 'markdown',
  };
}

function wordsOnly(kind: MediaOrder['kind'], words: string): AppError {
  const said = words === '' ? '' : ` It said: ${excerpt(words, MAX_SHOWN_WORDS)}`;
  return new AppError(`no_${kind}_generated`, `The model made no ${kind}.${said}`);
}
