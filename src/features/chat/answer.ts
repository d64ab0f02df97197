import type { Lease } from '@/features/accounts/lease';
import { EMPTY_ANSWER } from '@/features/accounts/rest-rules';
import { type Citation, type CitedText, createCitedText } from '@/features/chat/citations';
import {
  type Generated,
  keepGenerated,
  renderMedia,
  type ShownMedia,
  unkeptLine,
} from '@/features/chat/generated-media';
import { openConversation } from '@/features/chat/opening';
import type { Question } from '@/features/chat/question';
import { createReplyText, type ReplyText } from '@/features/chat/reply-text';
import { GeminiError } from '@/gemini/errors';
import type { GeminiEvent } from '@/gemini/events';
import { quotaKindOfFile } from '@/gemini/tools';
import type { CancelSignal } from '@/platform/cancellation';

/** A step of one choice's reply. */
export type Piece =
  | { type: 'reasoning'; index: number; text: string }
  | { type: 'text'; index: number; text: string }
  /** A generated picture or video, as it stands in the text: after all words, before `citations`. */
  | { type: 'media'; index: number; text: string; media: ShownMedia }
  /** The sources of the whole reply, once, right before `finish`; not where there are none. */
  | { type: 'citations'; index: number; citations: Citation[] }
  | { type: 'finish'; index: number; reason: 'stop' | 'length' };

/** One choice in the making. */
export interface Choice {
  index: number;
  reply: ReplyText;
  /** What was given out of it. */
  text: string;
  /** Null as long as there are no thoughts. */
  reasoning: ReplyText | null;
  cited: CitedText;
  /** Its generated files, by their upstream ids or, where they came whole, numbers. */
  files: Map<string, Generated>;
}

/** A choice of which nothing is there yet; its texts count the tokens that were passed on. */
export function newChoice(index: number, { stop, maxTokens }: Question): Choice {
  return {
    index,
    reply: createReplyText({ stop, maxTokens }),
    text: '',
    reasoning: null,
    cited: createCitedText(),
    files: new Map(),
  };
}

/**
 * Asks on the leased account and fills `choice`: batches of pieces as the upstream's pieces come,
 * the last with `finish`. Thoughts are held until the first answer text or file, or for
 * `thoughtsHoldMs`, so that an account that only thinks can still be left for another. The lease
 * learns what was served: a text at the first event, and each generated file. Those are kept by this
 * server before the end. Ending early, or `signal`, frees the upstream.
 * @throws GeminiError, and AppError `storage_full` where something can't be kept
 */
export async function* answer(
  lease: Lease,
  question: Question,
  choice: Choice,
  signal: CancelSignal,
): AsyncGenerator<Piece[], void, undefined> {
  const { index, reply } = choice;
  const opening = await openConversation(lease, question, signal);
  const { first, events, close } = opening;
  let answered = false;
  try {
    if (!first.done) lease.served('text');
    const { thoughtsHoldMs } = question.settings;
    let { batch, reading } = await holdThoughts(first, events, thoughtsHoldMs);
    while (batch) {
      takeFiles(batch, choice, lease);
      const pieces = toPieces(batch, choice);
      if (!answered && batch.some(isAnswer)) {
        answered = true;
        lease.contentBegan();
      }
      const last = batch.at(-1);
      if (last?.type === 'end' || reply.finishReason) {
        if (!answered) throw emptyAnswer();
        const rest = reply.finish();
        if (rest) pieces.push(textPiece(choice, rest));
        const citations = choice.cited.citations(choice.text.length);
        if (choice.files.size > 0) {
          // The words need not wait for the pictures, and of a cut reply no more is wanted.
          if (pieces.length > 0) yield pieces.splice(0);
          await events.return?.();
          const sessionName = (last?.type === 'end' && last.sessionName) || opening.session.name;
          pieces.push(...(await mediaPieces(lease, question, sessionName, choice, signal)));
        }
        if (citations.length > 0) pieces.push({ type: 'citations', index, citations });
        pieces.push({ type: 'finish', index, reason: reply.finishReason ?? 'stop' });
        // Before the caller has it all, and may ask on.
        if (reply.finishReason === null) close(choice.text);
        yield pieces;
        return;
      }
      if (pieces.length > 0) yield pieces;
      batch = (await (reading ?? events.next())).value;
      reading = null;
    }
  } finally {
    close(null);
    await events.return?.();
  }
}

function emptyAnswer(): GeminiError {
  return new GeminiError('upstream', 'The answer has no text.', { reason: EMPTY_ANSWER });
}

function isAnswer(event: GeminiEvent): boolean {
  if (event.type === 'text') return event.text !== '';
  return event.type === 'file' || event.type === 'inline_file';
}

/**
 * Notes the files that the choice does not have already (protocol 12.5). The lease learns of them
 * here, since one that comes after the reply was cut has cost the account as much.
 */
function takeFiles(batch: GeminiEvent[], { files }: Choice, lease: Lease): void {
  for (const event of batch) {
    if (event.type !== 'file' && event.type !== 'inline_file') continue;
    const id = event.type === 'file' ? event.fileId : `inline ${files.size}`;
    if (files.has(id)) continue;
    const { mimeType } = event;
    files.set(id, event.type === 'file' ? { mimeType } : { mimeType, base64: event.base64 });
    const kind = quotaKindOfFile(mimeType);
    if (kind) lease.served(kind);
  }
}

function toPieces(batch: GeminiEvent[], choice: Choice): Piece[] {
  const { index, reply, cited } = choice;
  const pieces: Piece[] = [];
  for (const event of batch) {
    if (reply.finishReason) break;
    if (event.type === 'thought') {
      // Without limits, but it never lets half a character out.
      choice.reasoning ??= createReplyText({ stop: [], maxTokens: null });
      const text = choice.reasoning.push(event.text);
      if (text) pieces.push({ type: 'reasoning', index, text });
      continue;
    }
    if (event.type === 'citations') {
      cited.cite(event);
      continue;
    }
    if (event.type !== 'text') continue;
    cited.said(event.text);
    const text = reply.push(event.text);
    if (text) pieces.push(textPiece(choice, text));
  }
  return pieces;
}

function textPiece(choice: Choice, text: string): Piece {
  choice.text += text;
  return { type: 'text', index: choice.index, text };
}

/** What the choice has made, kept and as it stands in the text; a line for what is not kept. */
async function mediaPieces(
  lease: Lease,
  question: Question,
  sessionName: string,
  choice: Choice,
  signal: CancelSignal,
): Promise<Piece[]> {
  const { index, files } = choice;
  const pieces: Piece[] = [];
  for (const kept of await keepGenerated(lease, question, sessionName, files, signal)) {
    if ('unkept' in kept) {
      pieces.push(textPiece(choice, unkeptLine(choice.text, kept.unkept)));
      continue;
    }
    const text = await renderMedia(kept, choice.text, question);
    choice.text += text;
    pieces.push({ type: 'media', index, text, media: kept });
  }
  return pieces;
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
  return batch.every((event) => event.type === 'thought' || event.type === 'citations');
}
