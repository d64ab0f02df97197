import type { Lease } from '@/features/accounts/lease';
import { withAccount } from '@/features/accounts/pool';
import type { Trace } from '@/features/accounts/trace';
import { answer, type Choice, newChoice, type Piece } from '@/features/chat/answer';
import { accountOfConversation } from '@/features/chat/conversations';
import { merge } from '@/features/chat/merge';
import { type Question, questionOf } from '@/features/chat/question';
import { countTokens } from '@/features/chat/tokens';
import type { ApiKey } from '@/features/keys/keys';
import { getModel, type Model } from '@/features/models/models';
import { settings } from '@/features/settings/settings';
import type { ChatCompletionParameters } from '@/openai/chat';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';

/** Who asks, and how. */
export interface Caller {
  key: ApiKey;
  /** From Accept-Language; the upstream's `languageCode`. */
  languageCode: string;
  /** Fires when the caller leaves. */
  signal: CancelSignal;
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
  /** What is asked, whatever alias the caller used. */
  model: Model;
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
  const limits = await settings();
  const who = { keyId: caller.key.id, languageCode: caller.languageCode };
  const question = questionOf(parameters, model, who, limits);
  const { thread, conversationId } = question;
  let choices: Choice[] = [];
  const need = {
    kind: model.quotaKind,
    modelId: model.id,
    upstreamModelId: model.upstreamModelId,
    accountIds: model.accountIds,
    preferredId: accountOfConversation(thread.prefixes, conversationId, limits),
    callerId: caller.key.id,
    signal: caller.signal,
    trace: caller.trace,
  };
  const pieces = withAccount(need, (lease) => {
    choices = Array.from({ length: parameters.n }, (_, index) => newChoice(index, question));
    const answers = answersOf(lease, question, choices);
    return parameters.stream ? answers : whole(answers);
  });
  let promptTokens: number | null = null;
  return {
    model,
    pieces,
    usage() {
      promptTokens ??= countTokens(question.prompt());
      const reasoningTokens = sum(choices.map(({ reasoning }) => reasoning?.tokens ?? 0));
      const replyTokens = sum(choices.map(({ reply }) => reply.tokens));
      return { promptTokens, completionTokens: replyTokens + reasoningTokens, reasoningTokens };
    },
  };
}

function answersOf(lease: Lease, question: Question, choices: Choice[]): AsyncIterable<Piece[]> {
  const [only, ...others] = choices;
  if (only && others.length === 0) return answer(lease, question, only, lease.signal);
  const cancellation = new Cancellation();
  const abort = () => cancellation.abort();
  if (lease.signal.aborted) abort();
  else lease.signal.addEventListener('abort', abort);
  return merge(
    choices.map((choice) => answer(lease, question, choice, cancellation)),
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
