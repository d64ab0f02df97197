import { expect } from 'vitest';
import { type Pool, question } from './pool';

/** What a caller sees of a chat, streamed or not. */
export interface Seen {
  status: number;
  requestId: string;
  retryAfterSeconds: number | null;
  text: string;
  reasoning: string;
  finishReasons: string[];
  /** Every error object, in order. */
  errors: unknown[];
  /** The last event was `[DONE]`. Not streamed: the body was whole. */
  isDone: boolean;
  /** The last event was an error. Not streamed: the body was one. */
  endsInError: boolean;
  comments: number;
  completionTokens: number | null;
  /** The connection broke within the body. */
  isBroken: boolean;
  /** It came as a stream of events; an error before the headers does not. */
  isStream: boolean;
}

type Messages = ReturnType<typeof question>;

/** Asks by plain `fetch`, with an order for the stand-in or with whole messages, and reads to the end. */
export async function ask(
  { server, key }: Pool,
  order: string | Messages,
  { stream, signal, ...more }: { stream: boolean; signal?: AbortSignal; n?: number },
): Promise<Seen> {
  const messages = typeof order === 'string' ? question(order) : order;
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'gemini-enterprise', messages, stream, ...more }),
    signal: signal ?? null,
  });
  const { text, isBroken } = await readAll(response);
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
  const retryAfter = response.headers.get('retry-after');
  return {
    status: response.status,
    requestId: response.headers.get('x-request-id') ?? '',
    retryAfterSeconds: retryAfter === null ? null : Number(retryAfter),
    isBroken,
    isStream,
    ...(isStream ? seenEvents(text) : seenBody(text)),
  };
}

async function readAll(response: Response): Promise<{ text: string; isBroken: boolean }> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const bytes of response.body ?? []) text += decoder.decode(bytes, { stream: true });
  } catch {
    return { text, isBroken: true };
  }
  return { text, isBroken: false };
}

type Body = Omit<Seen, 'status' | 'requestId' | 'retryAfterSeconds' | 'isBroken' | 'isStream'>;

function seenEvents(text: string): Body {
  // What follows the last blank line is half an event, of a connection that broke.
  const lines = text.split('\n\n').slice(0, -1);
  const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
  const events = data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line));
  const choices = events.flatMap((event) => event.choices ?? []);
  const errors = events.flatMap((event) => ('error' in event ? [event.error] : []));
  return {
    text: choices.map(({ delta }) => delta.content ?? '').join(''),
    reasoning: choices.map(({ delta }) => delta.reasoning_content ?? '').join(''),
    finishReasons: choices.flatMap((choice) => choice.finish_reason ?? []),
    errors,
    isDone: data.at(-1) === '[DONE]',
    endsInError:
      data.at(-1) !== '[DONE]' && errors.length > 0 && events.at(-1).error === errors.at(-1),
    comments: lines.filter((line) => line.startsWith(':')).length,
    completionTokens: null,
  };
}

function seenBody(text: string): Body {
  const body = text === '' ? {} : JSON.parse(text);
  const choices: { message: Record<string, string>; finish_reason: string }[] = body.choices ?? [];
  return {
    text: choices.map(({ message }) => message.content ?? '').join(''),
    reasoning: choices.map(({ message }) => message.reasoning_content ?? '').join(''),
    finishReasons: choices.map((choice) => choice.finish_reason),
    errors: 'error' in body ? [body.error] : [],
    isDone: choices.length > 0,
    endsInError: 'error' in body,
    comments: 0,
    completionTokens: body.usage?.completion_tokens ?? null,
  };
}

/** A full answer, and nothing else. */
export function expectWhole(seen: Seen, text: string): void {
  expect(seen).toMatchObject({
    status: 200,
    text,
    reasoning: '',
    finishReasons: ['stop'],
    errors: [],
    isDone: true,
    isBroken: false,
  });
}

/**
 * An error with all of OpenAI's error object, and not a word of an answer. It is an ordinary one of
 * HTTP, unless the headers went out in a long silence: then it is the only event.
 */
export function expectRefused(seen: Seen, status: number | number[], code: string): void {
  expect(seen.isStream ? [200] : [status].flat()).toContain(seen.status);
  expectError(seen, code);
  expect([seen.text, seen.reasoning]).toEqual(['', '']);
}

/** An answer that broke off after the commit point: some of its text, then one error event as the end. */
export function expectBrokenOff(seen: Seen, code: string): void {
  expect(seen.status).toBe(200);
  expect(seen.text).not.toBe('');
  expectError(seen, code);
}

function expectError(seen: Seen, code: string): void {
  expect(seen.errors).toEqual([
    {
      message: expect.stringMatching(/\w/),
      type: expect.stringMatching(/_error$/),
      param: expect.toSatisfy(isParam),
      code,
    },
  ]);
  expect(seen).toMatchObject({
    endsInError: true,
    isDone: false,
    finishReasons: [],
    isBroken: false,
  });
}

function isParam(param: unknown): boolean {
  return param === null || typeof param === 'string';
}
