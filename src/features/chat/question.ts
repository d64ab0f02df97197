import { noThread, type Thread, threadOf } from '@/features/chat/continuation';
import { toPrompt } from '@/features/chat/to-gemini';
import type { Model } from '@/features/models/models';
import type { Settings } from '@/features/settings/schema';
import type { GeminiTool } from '@/gemini/tools';
import type { ChatCompletionParameters, ChatMessage } from '@/openai/chat';

/** What is asked of the upstream, the same on every account. */
export interface Question {
  /** The whole conversation. */
  messages: readonly ChatMessage[];
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
  settings: Settings;
}

/** The question that a caller's request comes down to. */
export function questionOf(
  { messages, n, stop, maxTokens, conversationId }: ChatCompletionParameters,
  { id, upstreamModelId, tools }: Model,
  { keyId, languageCode }: { keyId: string; languageCode: string },
  settings: Settings,
): Question {
  // Several replies to the same words would be several pasts.
  const isContinued = n === 1 && settings.continuationLimit > 0;
  const scope = { keyId, modelId: id, upstreamModelId, tools };
  let prompt: string | null = null;
  return {
    messages,
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
    settings,
  };
}
