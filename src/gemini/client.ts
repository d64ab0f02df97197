import type { CancelSignal } from '@/platform/cancellation';
import { AnswerStream } from './answer-stream';
import {
  apiHeaders,
  apiPath,
  callApi,
  envelopeOf,
  type GeminiConnection,
  type GeminiIdentity,
  malformedReply,
  parseReply,
  refusalOf,
} from './api';
import type { GeminiEvent } from './events';
import { collectBody, Exchange, maxErrorBodyBytes } from './exchange';
import { isFields, textOf } from './fields';
import { type GeminiTool, toolsSpecOf } from './tools';

export type { GeminiConnection, GeminiIdentity } from './api';

/** One question. */
export interface GeminiTurn {
  /** As `createSession` gave it. */
  sessionName: string;
  prompt: string;
  /** Of files that were given to the session. */
  fileIds: readonly string[];
  /** null = the server chooses. */
  modelId: string | null;
  /** What it may use for the answer. */
  tools: readonly GeminiTool[];
  /** BCP 47, such as `en-US`. */
  languageCode: string;
  /** IANA name. */
  timeZone: string;
}

/**
 * Opens an upstream conversation (protocol 8.1) and returns its name, to be sent back verbatim.
 *
 * @throws GeminiError by `classifyReply`; a 401 with a fresh key mostly means a wrong `configId`.
 */
export async function createSession(
  connection: GeminiConnection,
  identity: GeminiIdentity,
  signal: CancelSignal,
): Promise<string> {
  const createSessionRequest = { session: { name: '', displayName: '' } };
  const call = {
    verb: 'widgetCreateSession',
    request: { createSessionRequest },
    deadlineMs: connection.timeouts.sessionMs,
  };
  const reply = await callApi(connection, identity, call, signal);
  if (reply.status !== 200) throw refusalOf(reply, 'session');
  return sessionNameOf(parseReply(reply));
}

/**
 * Deletes an upstream conversation (protocol 16.3). One that is gone already is no failure.
 *
 * @throws GeminiError by `classifyReply`
 */
export async function deleteSession(
  connection: GeminiConnection,
  identity: GeminiIdentity,
  name: string,
  signal: CancelSignal,
): Promise<void> {
  const call = {
    verb: 'widgetDeleteSession',
    request: { deleteSessionRequest: { name } },
    deadlineMs: connection.timeouts.sessionMs,
  };
  const reply = await callApi(connection, identity, call, signal);
  if (reply.status !== 200 && reply.status !== 404) throw refusalOf(reply, 'session');
}

/**
 * Asks, and resolves once the upstream's status line is there and good. The batches hold all events
 * that are ready, at least one each; a batch with `end` is the last. To be read by one reader, who
 * must read on, return or abort: an unread answer holds its connection. Returning early and
 * aborting end the upstream request at once.
 *
 * @throws GeminiError by `classifyReply` for a bad status. The iteration throws, after the events
 *   that came before: `truncated` (no terminal state), `upstream` with reason `timeout`,
 *   `malformed` or `element_too_large`, what `eventsOfElement` throws, and `client_left` when the
 *   signal fires.
 */
export function openAnswer(
  connection: GeminiConnection,
  identity: GeminiIdentity,
  turn: GeminiTurn,
  signal: CancelSignal,
): Promise<AsyncIterable<GeminiEvent[]>> {
  const { endpoints, dispatcher, timeouts } = connection;
  const request = {
    url: `${endpoints.apiUrl}${apiPath}/widgetStreamAssist`,
    method: 'POST' as const,
    headers: apiHeaders(endpoints, identity, turn.languageCode),
    body: chatBody(identity, turn),
    deadlineMs: timeouts.firstContentMs,
    idleMs: timeouts.idleMs,
  };
  return new Promise((resolve, reject) => {
    const exchange: Exchange = new Exchange(dispatcher, request, signal, {
      onHead: (status, headers) => {
        if (status === 200) {
          const answer = new AnswerStream(exchange);
          resolve(answer);
          return answer;
        }
        return collectBody(exchange, maxErrorBodyBytes, (bodyText, failure) => {
          const hasLeft = failure?.fault === 'client_left';
          reject(hasLeft ? failure : refusalOf({ status, headers, bodyText }, 'chat'));
        });
      },
      onFailure: reject,
    });
  });
}

/** Protocol 9.1. */
function chatBody(identity: GeminiIdentity, turn: GeminiTurn): string {
  const { modelId } = turn;
  const streamAssistRequest = {
    session: turn.sessionName,
    query: { parts: [{ text: turn.prompt }] },
    filter: '',
    fileIds: turn.fileIds,
    answerGenerationMode: 'NORMAL',
    toolsSpec: toolsSpecOf(turn.tools),
    languageCode: turn.languageCode,
    userMetadata: { timeZone: turn.timeZone },
    assistSkippingMode: 'REQUEST_ASSIST',
    // What is undefined does not go up.
    assistGenerationConfig: modelId === null ? undefined : { modelId },
  };
  return JSON.stringify(envelopeOf(identity, { streamAssistRequest }));
}

function sessionNameOf(reply: unknown): string {
  const session = isFields(reply) && isFields(reply.session) ? reply.session : {};
  const name = textOf(session.name);
  if (name === null) throw malformedReply('The session reply names no session');
  return name;
}
