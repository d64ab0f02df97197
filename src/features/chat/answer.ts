import type { Lease } from '@/features/accounts/lease';
import { EMPTY_ANSWER } from '@/features/accounts/state';
import { createReplyText, type ReplyText } from '@/features/chat/reply-text';
import { createSession, openAnswer } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import type { GeminiEvent } from '@/gemini/events';

/** A step of one choice's reply. */
export type Piece =
  | { type: 'reasoning'; index: number; text: string }
  | { type: 'text'; index: number; text: string }
  | { type: 'finish'; index: number; reason: 'stop' | 'length' };

/** What is asked of the upstream, the same on every account. */
export interface Question {
  prompt: string;
  modelId: string | null;
  languageCode: string;
  timeZone: string;
  stop: string[];
  maxTokens: number | null;
  /** How long thoughts wait for the first answer text. */
  thoughtsHoldMs: number;
}

/** One choice in the making. */
export interface Choice {
  index: number;
  reply: ReplyText;
  reasoning: ReplyText;
}

/** A choice of which nothing is there yet; its texts count the tokens that were passed on. */
export function newChoice(index: number, { stop, maxTokens }: Question): Choice {
  return {
    index,
    reply: createReplyText({ stop, maxTokens }),
    // Without limits, but it never lets half a character out.
    reasoning: createReplyText({ stop: [], maxTokens: null }),
  };
}

/**
 * Asks on the leased account and fills `choice`: batches of pieces as the upstream's pieces come,
 * the last with `finish`. Thoughts are held until the first answer text or for `thoughtsHoldMs`, so
 * that an account that only thinks can still be left for another. Ending early, or `signal`, frees
 * the upstream.
 * @throws GeminiError
 */
export async function* answer(
  lease: Lease,
  question: Question,
  choice: Choice,
  signal: AbortSignal,
): AsyncGenerator<Piece[], void, undefined> {
  const { index, reply } = choice;
  const events = await ask(lease, question, signal);
  let answered = false;
  for await (const batch of holdThoughts(events, question.thoughtsHoldMs)) {
    const pieces = toPieces(batch, choice);
    if (!answered && batch.some((event) => event.type === 'text' && event.text !== '')) {
      answered = true;
      lease.contentBegan();
    }
    if (batch.at(-1)?.type !== 'end' && !reply.finishReason) {
      if (pieces.length > 0) yield pieces;
      continue;
    }
    if (!answered) {
      throw new GeminiError('upstream', 'The answer has no text.', { reason: EMPTY_ANSWER });
    }
    const rest = reply.finish();
    if (rest) pieces.push({ type: 'text', index, text: rest });
    pieces.push({ type: 'finish', index, reason: reply.finishReason ?? 'stop' });
    yield pieces;
    return;
  }
}

function toPieces(batch: GeminiEvent[], { index, reply, reasoning }: Choice): Piece[] {
  const pieces: Piece[] = [];
  for (const event of batch) {
    if (reply.finishReason) break;
    if (event.type === 'end') continue;
    const isThought = event.type === 'thought';
    const text = (isThought ? reasoning : reply).push(event.text);
    if (text) pieces.push({ type: isThought ? 'reasoning' : 'text', index, text });
  }
  return pieces;
}

async function ask(
  lease: Lease,
  question: Question,
  signal: AbortSignal,
): Promise<AsyncIterable<GeminiEvent[]>> {
  const { prompt, modelId, languageCode, timeZone } = question;
  for (let again = false; ; again = true) {
    const sessionName = await lease.call(
      (identity) => createSession(lease.connection, identity, signal),
      { configFault: true },
    );
    const turn = { sessionName, prompt, modelId, languageCode, timeZone };
    try {
      return await lease.call((identity) => openAnswer(lease.connection, identity, turn, signal));
    } catch (error) {
      // The session is gone or another's: a new one, once (protocol 17.1).
      if (again || !isGeminiError(error) || error.fault !== 'state') throw error;
    }
  }
}

/** Passes on all batches, but thoughts only with the first other event or when `holdMs` is over. */
async function* holdThoughts(
  events: AsyncIterable<GeminiEvent[]>,
  holdMs: number,
): AsyncGenerator<GeminiEvent[], void, undefined> {
  const iterator = events[Symbol.asyncIterator]();
  try {
    const held: GeminiEvent[] = [];
    let timer: NodeJS.Timeout | undefined;
    let over: Promise<'over'> | null = null;
    for (;;) {
      const next = iterator.next();
      const result = over ? await Promise.race([next, over]) : await next;
      if (result !== 'over') {
        if (result.done) return;
        held.push(...result.value);
        if (held.every((event) => event.type === 'thought')) {
          over ??= new Promise((resolve) => {
            timer = setTimeout(resolve, holdMs, 'over');
          });
          continue;
        }
      }
      clearTimeout(timer);
      // If the consumer ends at this yield, nobody waits for `next` any more.
      if (result === 'over') next.catch(() => {});
      yield held;
      if (result === 'over') {
        const late = await next;
        if (late.done) return;
        yield late.value;
      }
      break;
    }
    for (let result = await iterator.next(); !result.done; result = await iterator.next()) {
      yield result.value;
    }
  } finally {
    await iterator.return?.();
  }
}
