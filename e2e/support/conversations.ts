import type { StandInSession, Turn } from '../stand-in/sessions';
import type { Pool } from './pool';

/** What a caller sends, of the forms that are needed here. */
export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string | { type: 'text'; text: string }[];
}

export const user = (content: Message['content']): Message => ({ role: 'user', content });
export const assistant = (content: Message['content']): Message => ({ role: 'assistant', content });
export const system = (content: string): Message => ({ role: 'system', content });

/** A user's turn that has the stand-in answer `reply`. */
export function asking(words: string, reply: string): Message {
  return user(`${words} [[text value=${JSON.stringify(reply)}]]`);
}

export interface Said {
  status: number;
  text: string;
  /** The question as the stand-in got it last, in its session; null if it got none. */
  turn: Turn | null;
  session: StandInSession | null;
}

let said = 0;

/** Sends a conversation, and finds out in which upstream session it was answered. */
export async function say(
  pool: Pool,
  messages: Message[],
  { key = pool.key, ...more }: { key?: string; stream?: boolean; [field: string]: unknown } = {},
): Promise<Said> {
  said += 1;
  // The upstream is told the language: by it, a request is told from all others.
  const language = `en-${said.toString(36).padStart(4, '0')}`;
  const response = await pool.call(
    '/v1/chat/completions',
    { model: 'gemini-enterprise', messages, ...more },
    { headers: { authorization: `Bearer ${key}`, 'accept-language': language } },
  );
  const body = await response.text();
  const session = sessionOf(pool, language);
  return {
    status: response.status,
    text: more.stream ? textOfEvents(body) : (JSON.parse(body).choices?.[0].message.content ?? ''),
    session,
    turn: session?.turns.findLast((turn) => turn.request.languageCode === language) ?? null,
  };
}

/** The newest session with that question in it. */
function sessionOf({ standIn }: Pool, language: string): StandInSession | null {
  const isThis = ({ request }: Turn) => request.languageCode === language;
  return standIn.sessions.all.findLast(({ turns }) => turns.some(isThis)) ?? null;
}

function textOfEvents(body: string): string {
  return body
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0]?.delta.content ?? '')
    .join('');
}

/** A turn of a conversation, in whatever form it was sent. */
interface PlainTurn {
  role: string;
  text: string;
}

/**
 * All that a session has seen when it was asked `last`: the turns in its prompts, each followed by its
 * own reply, but for the last.
 */
export function seenBefore({ turns }: StandInSession, last: Turn): PlainTurn[] {
  const until = turns.indexOf(last);
  return turns.slice(0, until + 1).flatMap((turn, index) => {
    const reply = { role: 'assistant', text: turn.reply };
    return [...turnsOfPrompt(turn.prompt), ...(index < until ? [reply] : [])];
  });
}

/** The same of what a caller has sent. */
export function sent(messages: Message[]): PlainTurn[] {
  return messages.map(({ role, content }) => ({
    role,
    text: typeof content === 'string' ? content : content.map(({ text }) => text).join('\n'),
  }));
}

/** As decision 4 lays a conversation out; the words of these tests hold no tags. */
function turnsOfPrompt(prompt: string): PlainTurn[] {
  if (!/^<(system|user|assistant)>\n/.test(prompt)) return [{ role: 'user', text: prompt }];
  const turns = [
    ...prompt.matchAll(/<(system|user|assistant)>\n([\s\S]*?)(?:\n<\/\1>(?:\n\n|$)|$)/g),
  ];
  return turns.map(([, role = '', text = '']) => ({ role, text }));
}

/** System turns come first in each prompt: their place among the others is not compared. */
export function inOrder(turns: PlainTurn[]): PlainTurn[] {
  const isSystem = ({ role }: PlainTurn) => role === 'system';
  return [...turns.filter(isSystem), ...turns.filter((turn) => !isSystem(turn))];
}
