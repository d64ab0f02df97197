import type { Attachments } from '@/features/chat/attachments';
import { noThread, type Thread, threadOf } from '@/features/chat/continuation';
import { toPrompt } from '@/features/chat/to-gemini';
import type { Model } from '@/features/models/models';
import type { Settings } from '@/features/settings/schema';
import type { GeminiTool } from '@/gemini/tools';
import type { ChatCompletionParameters, ChatMessage, ImageFormat } from '@/openai/chat';

/** What is asked of the upstream, the same on every account. */
export interface Question {
  /** The whole conversation. */
  messages: readonly ChatMessage[];
  /** What its messages bring along; null if nothing. */
  attachments: Attachments | null;
  /** The same as one text, made when it is needed. */
  prompt(): string;
  thread: Thread;
  /** The caller's own name for the conversation. */
  conversationId: string | null;
  modelId: string | null;
  tools: readonly GeminiTool[];
  languageCode: string;
  stop: string[];
  maxTokens: number | null;
  /** How what it makes is shown in its text, and where that will be. */
  imageFormat: ImageFormat;
  mediaBaseUrl(): string;
  /** Whether so many bytes of a picture may stand in the answer. */
  mayInline(bytes: number): boolean;
  /** Where what is kept of it comes from. */
  origin: { apiKeyId: string; modelId: string };
  settings: Settings;
}

/** Who asks. */
interface Asker {
  keyId: string;
  languageCode: string;
  mediaBaseUrl(): string;
  mayInline(bytes: number): boolean;
  /** Whether a later request may go on from this one. */
  isConversation: boolean;
}

/** The question that a caller's request comes down to. */
export function questionOf(
  parameters: ChatCompletionParameters,
  attachments: Attachments | null,
  model: Model,
  { keyId, languageCode, mediaBaseUrl, mayInline, isConversation }: Asker,
  settings: Settings,
): Question {
  const { n, stop, maxTokens, conversationId, imageFormat } = parameters;
  const { id, upstreamModelId, tools } = model;
  const messages = attachments?.messages ?? parameters.messages;
  // Several replies to the same words would be several pasts.
  const isContinued = isConversation && n === 1 && settings.continuationLimit > 0;
  const scope = { keyId, modelId: id, upstreamModelId, tools };
  let prompt: string | null = null;
  return {
    messages,
    attachments,
    prompt() {
      prompt ??= toPrompt(messages);
      return prompt;
    },
    thread: isContinued ? threadOf(scope, messages) : noThread,
    conversationId,
    modelId: upstreamModelId,
    tools,
    languageCode,
    stop,
    maxTokens,
    imageFormat,
    mediaBaseUrl,
    mayInline,
    origin: { apiKeyId: keyId, modelId: id },
    settings,
  };
}
