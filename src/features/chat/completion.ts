import type { Lease } from '@/features/accounts/lease';
import { type Trace, withAccount } from '@/features/accounts/pool';
import { answer, type Choice, newChoice, type Piece, type Question } from '@/features/chat/answer';
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
  /** Of the last try, as far as it came. */
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
    tools: model.tools,
    languageCode: caller.languageCode,
    timeZone,
    stop: parameters.stop,
    maxTokens: parameters.maxTokens,
    thoughtsHoldMs,
  };
  let choices: Choice[] = [];
  const { quotaKind: kind, id: modelId, accountIds } = model;
  const { key, signal, trace } = caller;
  const need = { callerId: key.id, kind, modelId, accountIds, signal, trace };
  const pieces = withAccount(need, (lease) => {
    choices = Array.from({ length: parameters.n }, (_, index) => newChoice(index, question));
    const answers = answersOf(lease, question, choices);
    return parameters.stream ? answers : whole(answers);
  });
  let promptTokens: number | null = null;
  return {
    pieces,
    usage() {
      promptTokens ??= countTokens(question.prompt);
      const reasoningTokens = sum(choices.map(({ reasoning }) => reasoning.tokens));
      const replyTokens = sum(choices.map(({ reply }) => reply.tokens));
      return { promptTokens, completionTokens: replyTokens + reasoningTokens, reasoningTokens };
    },
  };
}

function answersOf(lease: Lease, question: Question, choices: Choice[]): AsyncIterable<Piece[]> {
  const [only, ...others] = choices;
  if (only && others.length === 0) return answer(lease, question, only, lease.signal);
  const controller = new AbortController();
  const abort = () => controller.abort();
  if (lease.signal.aborted) abort();
  else lease.signal.addEventListener('abort', abort, { once: true });
  return merge(
    choices.map((choice) => answer(lease, question, choice, controller.signal)),
    abort,
  );
}

async function* whole<T>(batches: AsyncIterable<T[]>): AsyncGenerator<T[], void, undefined> {
  const all: T[] = [];
  for await (const batch of batches) for (const piece of batch) all.push(piece);
  yield all;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
