import type { Lease } from '@/features/accounts/lease';
import { withAccount } from '@/features/accounts/pool';
import type { Trace } from '@/features/accounts/trace';
import { answer, type Choice, newChoice, type Piece } from '@/features/chat/answer';
import { type Attachments, attachmentsOf, hasAttachments } from '@/features/chat/attachments';
import { accountOfConversation } from '@/features/chat/conversations';
import { merge } from '@/features/chat/merge';
import { type Question, questionOf } from '@/features/chat/question';
import { countTokens } from '@/features/chat/tokens';
import type { ApiKey } from '@/features/keys/keys';
import { getModel, type Model } from '@/features/models/models';
import { settings } from '@/features/settings/settings';
import { quotaKindOf } from '@/gemini/tools';
import type { ChatCompletionParameters } from '@/openai/chat';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
import { inParallel } from '@/platform/parallel';

/** Attachments of one request that are fetched at the same time. */
const PARALLEL_FETCHES = 4;

/** Who asks, and how. */
export interface Caller {
  key: ApiKey;
  /** From Accept-Language; the upstream's `languageCode`. */
  languageCode: string;
  /** Where this server's media are, as the caller reaches them; without a slash at the end. */
  mediaBaseUrl(): string;
  /** Whether there is memory for so many bytes of a picture in the answer; then it is taken. */
  mayInline(bytes: number): boolean;
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
 * back. With `n` choices, `n` sessions of one account answer at the same time. `tool`: the answer is
 * to be made with nothing else, whatever the model may use.
 * @throws AppError at once if the model or a file is unknown; from `pieces` for all else
 */
export async function createCompletion(
  parameters: ChatCompletionParameters,
  caller: Caller,
  tool?: 'image' | 'video',
): Promise<Completion> {
  const known = await getModel(caller.key.models, parameters.model);
  const model = tool ? { ...known, tools: [tool], quotaKind: quotaKindOf([tool]) } : known;
  const limits = await settings();
  const { key, languageCode, mediaBaseUrl, mayInline, signal } = caller;
  const isConversation = tool === undefined;
  const who = { keyId: key.id, languageCode, mediaBaseUrl, mayInline, isConversation };
  const { messages } = parameters;
  const attachments = hasAttachments(messages)
    ? await attachmentsOf(messages, { keyId: key.id, mediaBaseUrl, limits, signal })
    : null;
  const question = questionOf(parameters, attachments, model, who, limits);
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
  const answered = withAccount(need, (lease) => {
    choices = Array.from({ length: parameters.n }, (_, index) => newChoice(index, question));
    const answers = answersOf(lease, question, choices);
    return parameters.stream ? answers : whole(answers);
  });
  let promptTokens: number | null = null;
  return {
    model,
    pieces: attachments ? withAttachments(answered, attachments) : answered,
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

/**
 * Has what is new fetched before an account is taken. What an earlier turn brought along may be in the
 * session already; else it is fetched when it is sent again.
 */
async function* withAttachments(
  answered: AsyncIterable<Piece[]>,
  attachments: Attachments,
): AsyncGenerator<Piece[], void, undefined> {
  try {
    const { messages } = attachments;
    const lastReply = messages.findLastIndex(({ role }) => role === 'assistant');
    const news = messages.slice(lastReply + 1).flatMap((message) => message.attachments);
    // The same one again costs nothing, since each is opened once.
    await inParallel(news, PARALLEL_FETCHES, async (attachment) => {
      await attachments.open(attachment);
    });
    yield* answered;
  } finally {
    await attachments.release();
  }
}

async function* whole<T>(batches: AsyncIterable<T[]>): AsyncGenerator<T[], void, undefined> {
  const all: T[] = [];
  for await (const batch of batches) for (const piece of batch) all.push(piece);
  yield all;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
