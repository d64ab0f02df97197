import { type Trace, withAccount } from '@/features/accounts/pool';
import { answer, type Piece, type Question } from '@/features/chat/answer';
import { merge } from '@/features/chat/merge';
import { toPrompt } from '@/features/chat/to-gemini';
import { countTokens } from '@/features/chat/tokens';
import type { ApiKey } from '@/features/keys/keys';
import { getModel } from '@/features/models/models';
import { settings } from '@/features/settings/settings';
import type { ChatCompletionParameters } from '@/openai/chat';

/** Who asks, and how. */
export interface Caller {
  key: ApiKey;
  /** From Accept-Language; the upstream's `languageCode`. */
  languageCode: string;
  /** Fires when the caller leaves. */
  signal: AbortSignal;
  trace: Trace;
}

/** Estimated, since the upstream tells no counts. */
export interface TokenUsage {
  promptTokens: number;
  /** Thoughts included. */
  completionTokens: number;
  reasoningTokens: number;
}

/** A completion under way. Nothing is asked of the upstream before `pieces` is iterated. */
export interface Completion {
  /**
   * Streamed: batches as the upstream's pieces come, the choices told apart by `index`. Not
   * streamed: one batch, when all is there, so that until then another account can be tried.
   */
  pieces: AsyncIterable<Piece[]>;
  /** Of what was passed on so far. */
  usage(): TokenUsage;
}

/**
 * The use case of the product: the conversation goes to an account of the pool and its answer comes
 * back. With `n` choices, `n` sessions of one account answer at the same time.
 * @throws AppError at once if the model is unknown; from `pieces` for all else
 */
export async function createCompletion(
  parameters: ChatCompletionParameters,
  caller: Caller,
): Promise<Completion> {
  const model = await getModel(caller.key.models, parameters.model);
  const { timeZone, thoughtsHoldMs } = await settings();
  const question: Question = {
    prompt: toPrompt(parameters.messages),
    modelId: model.upstreamModelId,
    languageCode: caller.languageCode,
    timeZone,
    stop: parameters.stop,
    maxTokens: parameters.maxTokens,
    thoughtsHoldMs,
  };
  const need = { accountIds: model.accountIds, signal: caller.signal, trace: caller.trace };
  const finished = { tokens: 0, reasoningTokens: 0 };
  const tried = withAccount(need, (lease) => {
    const choices = Array.from({ length: parameters.n }, (_, index) =>
      answer(lease, question, index),
    );
    const [only] = choices;
    const pieces = choices.length === 1 && only ? only : merge(choices);
    return parameters.stream ? pieces : whole(pieces);
  });
  let promptTokens: number | null = null;
  return {
    pieces: counted(tried, finished),
    usage() {
      promptTokens ??= countTokens(question.prompt);
      return {
        promptTokens,
        completionTokens: finished.tokens + finished.reasoningTokens,
        reasoningTokens: finished.reasoningTokens,
      };
    },
  };
}

async function* whole<T>(batches: AsyncIterable<T[]>): AsyncGenerator<T[], void, undefined> {
  const all: T[] = [];
  for await (const batch of batches) for (const piece of batch) all.push(piece);
  yield all;
}

async function* counted(
  batches: AsyncIterable<Piece[]>,
  finished: { tokens: number; reasoningTokens: number },
): AsyncGenerator<Piece[], void, undefined> {
  for await (const batch of batches) {
    for (const piece of batch) {
      if (piece.type !== 'finish') continue;
      finished.tokens += piece.tokens;
      finished.reasoningTokens += piece.reasoningTokens;
    }
    yield batch;
  }
}
