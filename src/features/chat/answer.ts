import type { Lease } from '@/features/accounts/lease';
import { EMPTY_ANSWER } from '@/features/accounts/state';
import { createReplyText } from '@/features/chat/reply-text';
import { createSession, openAnswer } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import type { GeminiEvent } from '@/gemini/events';

/** A step of one choice's reply. */
export type Piece =
  | { type: 'reasoning'; index: number; text: string }
  | { type: 'text'; index: number; text: string }
  | {
      type: 'finish';
      index: number;
      reason: 'stop' | 'length';
      tokens: number;
      reasoningTokens: number;
    };

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

/**
 * One choice, asked on the leased account: batches of pieces as the upstream's pieces come, the
 * last with `finish`. Thoughts are held until the first answer text or for `thoughtsHoldMs`, so that
 * an account that only thinks can still be left for another. Ending early frees the upstream.
 * @throws GeminiError
 */
export async function* answer(
  lease: Lease,
  question: Question,
  index: number,
): AsyncGenerator<Piece[], void, undefined> {
  const events = await ask(lease, question);
  const reply = createReplyText({ stop: question.stop, maxTokens: question.maxTokens });
  // Without limits, but it never lets half a character out.
  const reasoning = createReplyText({ stop: [], maxTokens: null });
  let answered = false;

  const toPieces = (batch: GeminiEvent[]): Piece[] => {
    const pieces: Piece[] = [];
    for (const event of batch) {
      if (reply.finishReason) break;
      if (event.type === 'thought') {
        const text = reasoning.push(event.text);
        if (text) pieces.push({ type: 'reasoning', index, text });
      } else if (event.type === 'text') {
        answered ||= event.text !== '';
        const text = reply.push(event.text);
        if (text) pieces.push({ type: 'text', index, text });
      }
    }
    return pieces;
  };

  for await (const batch of holdThoughts(events, question.thoughtsHoldMs)) {
    const pieces = toPieces(batch);
    const isEnd = batch.at(-1)?.type === 'end';
    if (!isEnd && !reply.finishReason) {
      if (pieces.length > 0) yield pieces;
      continue;
    }
    if (!answered) {
      throw new GeminiError('upstream', 'The answer has no text.', { reason: EMPTY_ANSWER });
    }
    const rest = reply.finish();
    if (rest) pieces.push({ type: 'text', index, text: rest });
    pieces.push({
      type: 'finish',
      index,
      reason: reply.finishReason ?? 'stop',
      tokens: reply.tokens,
      reasoningTokens: reasoning.tokens,
    });
    yield pieces;
    return;
  }
}

async function ask(lease: Lease, question: Question): Promise<AsyncIterable<GeminiEvent[]>> {
  for (let again = false; ; again = true) {
    const sessionName = await lease.call(
      (identity) => createSession(lease.connection, identity, lease.signal),
      { configFault: true },
    );
    const turn = {
      sessionName,
      prompt: question.prompt,
      modelId: question.modelId,
      languageCode: question.languageCode,
      timeZone: question.timeZone,
      tools: 'text' as const,
    };
    try {
      return await lease.call((identity) =>
        openAnswer(lease.connection, identity, turn, lease.signal),
      );
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
