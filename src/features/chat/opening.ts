import { Readable } from 'node:stream';
import type { Lease } from '@/features/accounts/lease';
import { hashWithReply } from '@/features/chat/continuation';
import { keepConversation, takeConversation } from '@/features/chat/conversations';
import type { Question } from '@/features/chat/question';
import { fillStock, takeStocked } from '@/features/chat/session-stock';
import { shortened } from '@/features/chat/shorten';
import { CONVERSATION_FILE, toFilePrompt, toPrompt } from '@/features/chat/to-gemini';
import { UNUSABLE_ATTACHMENT, upload, uploadAttachments } from '@/features/chat/uploads';
import {
  forgetSession,
  leaveSession,
  newSession,
  type UpstreamSession,
} from '@/features/chat/upstream-sessions';
import { type GeminiIdentity, type GeminiTurn, openAnswer } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import type { GeminiEvent } from '@/gemini/events';
import type { ChatMessage } from '@/openai/chat';
import type { CancelSignal } from '@/platform/cancellation';

type Batch = IteratorResult<GeminiEvent[], undefined>;

/** An answer that has begun. */
export interface Opening {
  /** Where it is asked. */
  session: UpstreamSession;
  first: Batch;
  /** What comes after `first`; to be read to the end, or returned. */
  events: AsyncIterator<GeminiEvent[], undefined>;
  /**
   * To be called once the session is not needed any more, with the whole reply as the caller got it:
   * it can then be continued. Null if it was cut short or failed. Later calls do nothing.
   */
  close(reply: string | null): void;
}

/** One way to ask. */
interface Way {
  /** Null: a new one. */
  session: UpstreamSession | null;
  /** What is sent. */
  messages: readonly ChatMessage[];
  kind: 'continued' | 'whole' | 'shortened' | 'attached';
  /** New sessions that were lost on the way here. */
  lost: number;
  /** How often turns were left out on the way here. */
  shortenings: number;
}

/** A new session may be lost at once; a second one is the account's failure (protocol 17.1). */
const MAX_LOST = 1;
/** At half the length each time, the last is a 64th of the whole. */
const MAX_SHORTENINGS = 6;

/**
 * Asks on the leased account: in the session that has seen the conversation so far, else with all of
 * it in a new one. Resolves when the upstream begins to answer. What goes wrong with a session is
 * mended unseen, as long as there is another way. What the messages bring along goes up before.
 * @throws GeminiError
 */
export async function openConversation(
  lease: Lease,
  question: Question,
  signal: CancelSignal,
): Promise<Opening> {
  for (let way = firstWay(lease, question); ; ) {
    const session = way.session ?? (await newSession(lease, signal));
    try {
      const begun = await ask(lease, question, session, way, signal);
      fillStock(lease.account, question.settings);
      const close = closing(question, session, way.kind);
      return { session, first: begun.first, events: begun.events, close };
    } catch (error) {
      const failure = isGeminiError(error) ? error : null;
      // One made a moment ago may well be there all the same.
      if (failure?.fault === 'state' && way.kind === 'continued') forgetSession(session);
      else leaveSession(session);
      const next = failure && nextWay(way, failure, lease, question);
      if (!next) throw error;
      way = next;
    }
  }
}

function firstWay(lease: Lease, question: Question): Way {
  const { messages, thread, conversationId, settings } = question;
  const { id } = lease.account;
  const found = takeConversation(thread.prefixes, conversationId, id, settings);
  if (found === null) return wholeWay(lease, question);
  const { session, length } = found;
  const news = messages.slice(length);
  return { session, messages: news, kind: 'continued', lost: 0, shortenings: 0 };
}

function wholeWay({ account }: Lease, { messages, settings }: Question): Way {
  const session = takeStocked(account, settings);
  return { session, messages, kind: 'whole', lost: 0, shortenings: 0 };
}

function nextWay(way: Way, failure: GeminiError, lease: Lease, question: Question): Way | null {
  if (way.kind === 'continued') {
    return mayBeOfSession(failure) ? wholeWay(lease, question) : null;
  }
  if (failure.fault === 'state') return afterLoss(way);
  return failure.reason === 'PROMPT_TOO_LARGE' ? afterTooLong(way, lease, question) : null;
}

/** Refusals that speak of what was sent, wherever it is sent. */
const reasonsOfQuestion: ReadonlySet<string> = new Set([
  'CUSTOMER_POLICY_VIOLATION',
  UNUSABLE_ATTACHMENT,
]);

/**
 * Whether a continued session may have failed for what it is or holds: it is gone or another's, it is
 * stale (a 500 by protocol 17.1), or the question is refused on top of what was said there.
 */
function mayBeOfSession({ fault, status, reason }: GeminiError): boolean {
  if (fault === 'request') return reason === null || !reasonsOfQuestion.has(reason);
  return fault === 'state' || (fault === 'upstream' && status === 500);
}

/** The session is gone, or another's. */
function afterLoss(way: Way): Way | null {
  const lost = way.lost + (way.session === null ? 1 : 0);
  return lost > MAX_LOST ? null : { ...way, session: null, lost };
}

function afterTooLong(way: Way, lease: Lease, question: Question): Way | null {
  const { settings } = question;
  const shortenings = way.shortenings + 1;
  if (settings.promptTooLong === 'refuse' || shortenings > MAX_SHORTENINGS) return null;
  if (settings.promptTooLong === 'attach') {
    if (way.kind === 'attached') return null;
    return { ...way, session: takeStocked(lease.account, settings), kind: 'attached' };
  }
  const messages = shortened(way.messages);
  if (messages === null) return null;
  const session = takeStocked(lease.account, settings);
  return { ...way, session, messages, kind: 'shortened', shortenings };
}

type Begun = Pick<Opening, 'first' | 'events'>;

async function ask(
  lease: Lease,
  question: Question,
  session: UpstreamSession,
  way: Way,
  signal: CancelSignal,
): Promise<Begun> {
  const { modelId, tools, languageCode, attachments } = question;
  const { timeZone } = question.settings;
  const { messages } = way;
  const fileIds = attachments
    ? await uploadAttachments(lease, session, messages, attachments, signal)
    : [];
  let prompt = messages === question.messages ? question.prompt() : toPrompt(messages);
  if (way.kind === 'attached') {
    fileIds.push(await uploadConversation(lease, session, prompt, signal));
    prompt = toFilePrompt(messages);
  }
  const { name: sessionName } = session;
  const turn = { sessionName, prompt, fileIds, modelId, tools, languageCode, timeZone };
  return lease.call((identity) => begin(lease, identity, turn, signal));
}

/** @throws GeminiError `request` with reason `PROMPT_TOO_LARGE` if it is not taken even so */
async function uploadConversation(
  lease: Lease,
  session: UpstreamSession,
  prompt: string,
  signal: CancelSignal,
): Promise<string> {
  const bytes = Buffer.from(prompt);
  const content = { bytes: bytes.byteLength, open: () => Readable.from([bytes]) };
  const file = { name: CONVERSATION_FILE, mimeType: 'text/plain', content };
  try {
    return await upload(lease, session, file, 'messages', signal);
  } catch (error) {
    if (!isGeminiError(error) || error.fault !== 'request') throw error;
    const message = 'The conversation is too long, as a file, too.';
    throw new GeminiError('request', message, { reason: 'PROMPT_TOO_LARGE' });
  }
}

/** Reads the first batch, too: it may be a refusal like any other. */
async function begin(
  lease: Lease,
  identity: GeminiIdentity,
  turn: GeminiTurn,
  signal: CancelSignal,
): Promise<Begun> {
  const answer = await openAnswer(lease.connection, identity, turn, signal);
  const events = answer[Symbol.asyncIterator]();
  try {
    return { first: await events.next(), events };
  } catch (error) {
    // The upstream works on for a caller who has left.
    if (isGeminiError(error) && error.fault === 'client_left') lease.served('text');
    throw error;
  }
}

function closing(
  { thread, conversationId, settings }: Question,
  session: UpstreamSession,
  kind: Way['kind'],
): Opening['close'] {
  let isClosed = false;
  return (reply) => {
    if (isClosed) return;
    isClosed = true;
    const isWhole = kind === 'continued' || kind === 'whole';
    if (reply === null || thread.hash === null || !isWhole) return leaveSession(session);
    const seen = hashWithReply(thread.hash, reply);
    keepConversation(seen, { ...session, turns: session.turns + 1 }, conversationId, settings);
  };
}
