import type { Lease } from '@/features/accounts/lease';
import { EMPTY_ANSWER } from '@/features/accounts/rest-rules';
import { createReplyText, type ReplyText } from '@/features/chat/reply-text';
import { createSession, type GeminiIdentity, type GeminiTurn, openAnswer } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import type { GeminiEvent } from '@/gemini/events';
import { type GeminiTool, quotaKindOfFile } from '@/gemini/tools';

/** A step of one choice's reply. */
export type Piece =
  | { type: 'reasoning'; index: number; text: string }
  | { type: 'text'; index: number; text: string }
  | { type: 'finish'; index: number; reason: 'stop' | 'length' };

/** What is asked of the upstream, the same on every account. */
export interface Question {
  prompt: string;
  modelId: string | null;
  tools: readonly GeminiTool[];
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
  /** The ids of its generated files. */
  files: Set<string>;
  /** Whether the reply's text stands within a line. */
  isMidLine: boolean;
}

/** A choice of which nothing is there yet; its texts count the tokens that were passed on. */
export function newChoice(index: number, { stop, maxTokens }: Question): Choice {
  return {
    index,
    reply: createReplyText({ stop, maxTokens }),
    // Without limits, but it never lets half a character out.
    reasoning: createReplyText({ stop: [], maxTokens: null }),
    files: new Set(),
    isMidLine: false,
  };
}

/**
 * Asks on the leased account and fills `choice`: batches of pieces as the upstream's pieces come,
 * the last with `finish`. Thoughts are held until the first answer text or file, or for
 * `thoughtsHoldMs`, so that an account that only thinks can still be left for another. The lease
 * learns what was served: a text at the first event, and each generated file. Ending early, or
 * `signal`, frees the upstream.
 * @throws GeminiError
 */
export async function* answer(
  lease: Lease,
  question: Question,
  choice: Choice,
  signal: AbortSignal,
): AsyncGenerator<Piece[], void, undefined> {
  const { index, reply } = choice;
  const { events, first } = await ask(lease, question, signal);
  let answered = false;
  try {
    if (!first.done) lease.served('text');
    let { batch, reading } = await holdThoughts(first, events, question.thoughtsHoldMs);
    while (batch) {
      batch = takeFiles(batch, choice, lease);
      const pieces = toPieces(batch, choice);
      if (!answered && batch.some(isAnswer)) {
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

function isAnswer(event: GeminiEvent): boolean {
  return event.type === 'file' || (event.type === 'text' && event.text !== '');
}

/**
 * The batch without the files that the choice has already (protocol 12.5). The lease learns of the
 * others here, since one that comes after the reply was cut has cost the account as much.
 */
function takeFiles(batch: GeminiEvent[], { files }: Choice, lease: Lease): GeminiEvent[] {
  return batch.filter((event) => {
    if (event.type !== 'file') return true;
    if (files.has(event.fileId)) return false;
    files.add(event.fileId);
    const kind = quotaKindOfFile(event.mimeType);
    if (kind) lease.served(kind);
    return true;
  });
}

function toPieces(batch: GeminiEvent[], choice: Choice): Piece[] {
  const { index, reply, reasoning } = choice;
  const pieces: Piece[] = [];
  for (const event of batch) {
    if (reply.finishReason) break;
    if (event.type === 'end') continue;
    if (event.type === 'thought') {
      const text = reasoning.push(event.text);
      if (text) pieces.push({ type: 'reasoning', index, text });
      continue;
    }
    const said = event.type === 'file' ? lineOfFile(event.mimeType, choice) : event.text;
    if (said !== '') choice.isMidLine = !said.endsWith('\n');
    const text = reply.push(said);
    if (text) pieces.push({ type: 'text', index, text });
  }
  return pieces;
}

/** Stands for a generated file as long as files are not passed on. */
function lineOfFile(mimeType: string, { isMidLine }: Choice): string {
  return `${isMidLine ? '\n' : ''}[a generated file: ${mimeType}]\n`;
}

async function ask(lease: Lease, question: Question, signal: AbortSignal): Promise<Opened> {
  const { prompt, modelId, tools, languageCode, timeZone } = question;
  for (let again = false; ; again = true) {
    const sessionName = await lease.call(
      (identity) => createSession(lease.connection, identity, signal),
      { configFault: true },
    );
    const turn = { sessionName, prompt, modelId, tools, languageCode, timeZone };
    try {
      return await lease.call((identity) => open(lease, identity, turn, signal));
    } catch (error) {
      // The session is gone or another's: a new one, once (protocol 17.1).
      if (again || !isGeminiError(error) || error.fault !== 'state') throw error;
    }
  }
}

/** An answer that has begun: its first batch was read, since it may be a refusal like any other. */
interface Opened {
  events: AsyncIterator<GeminiEvent[], undefined>;
  first: IteratorResult<GeminiEvent[], undefined>;
}

async function open(
  lease: Lease,
  identity: GeminiIdentity,
  turn: GeminiTurn,
  signal: AbortSignal,
): Promise<Opened> {
  const answer = await openAnswer(lease.connection, identity, turn, signal);
  const events = answer[Symbol.asyncIterator]();
  try {
    return { events, first: await events.next() };
  } catch (error) {
    // The upstream works on for a caller who has left.
    if (isGeminiError(error) && error.fault === 'client_left') lease.served('text');
    throw error;
  }
}

interface FirstBatch {
  batch: GeminiEvent[] | undefined;
  /** The read of the next batch, where it was begun before the time was over. */
  reading: Promise<IteratorResult<GeminiEvent[], undefined>> | null;
}

/** What to pass on first: thoughts wait for the first other event, at most `holdMs`. */
async function holdThoughts(
  first: IteratorResult<GeminiEvent[], undefined>,
  events: AsyncIterator<GeminiEvent[], undefined>,
  holdMs: number,
): Promise<FirstBatch> {
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
