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
  const events = (await ask(lease, question, signal))[Symbol.asyncIterator]();
  let answered = false;
  try {
    let { batch, reading } = await holdThoughts(events, question.thoughtsHoldMs);
    while (batch) {
      const pieces = toPieces(batch, choice);
      if (!answered && batch.some((event) => event.type === 'text' && event.text !== '')) {
        answered = true;
        lease.contentBegan();
      }
      if (batch.at(-1)?.type === 'end' || reply.finishReason) {
        if (!answered) throw emptyAnswer();
        const rest = reply.finish();
        if (rest) pieces.push({ type: 'text', index, text: rest });
        pieces.push({ type: 'finish', index, reason: reply.finishReason ?? 'stop' });
        yield pieces;
        return;
      }
      if (pieces.length > 0) yield pieces;
      batch = (await (reading ?? events.next())).value;
      reading = null;
    }
  } finally {
    await events.return?.();
  }
}

function emptyAnswer(): GeminiError {
  return new GeminiError('upstream', 'The answer has no text.', { reason: EMPTY_ANSWER });
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

interface FirstBatch {
  batch: GeminiEvent[] | undefined;
  /** The read of the next batch, where it was begun before the time was over. */
  reading: Promise<IteratorResult<GeminiEvent[], undefined>> | null;
}

/** The first batch to pass on: thoughts wait for the first other event, at most `holdMs`. */
async function holdThoughts(
  events: AsyncIterator<GeminiEvent[], undefined>,
  holdMs: number,
): Promise<FirstBatch> {
  const first = await events.next();
  if (first.done || !isAllThoughts(first.value)) return { batch: first.value, reading: null };
  const held = [...first.value];
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<'over'>((resolve) => {
    timer = setTimeout(resolve, holdMs, 'over');
  });
  try {
    for (;;) {
      const reading = events.next();
      const result = await Promise.race([reading, over]);
      if (result === 'over') {
        // If the reader ends before it comes back, nobody waits for this any more.
        reading.catch(() => {});
        return { batch: held, reading };
      }
      if (result.done) return { batch: held, reading: Promise.resolve(result) };
      held.push(...result.value);
      if (!isAllThoughts(result.value)) return { batch: held, reading: null };
    }
  } finally {
    clearTimeout(timer);
  }
}

function isAllThoughts(batch: GeminiEvent[]): boolean {
  return batch.every((event) => event.type === 'thought');
}
