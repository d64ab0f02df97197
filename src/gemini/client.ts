import type { Dispatcher } from 'undici';
import type { CancelSignal } from '@/platform/cancellation';
import { AnswerStream } from './answer-stream';
import { flavourOf, type GeminiEndpoints } from './endpoints';
import { classifyReply, GeminiError } from './errors';
import type { GeminiEvent } from './events';
import { collectBody, Exchange, readReply, type WholeReply } from './exchange';
import { type GeminiTool, toolsSpecOf } from './tools';

/** The way to the upstream: hosts, egress (a proxy is another dispatcher) and wait limits. */
export interface GeminiConnection {
  endpoints: GeminiEndpoints;
  dispatcher: Dispatcher;
  timeouts: {
    /** Key request with all its hops. */
    keyMs: number;
    /** Creation or deletion of a session. */
    sessionMs: number;
    /** From sending to the first text, thought or file. */
    firstContentMs: number;
    /** Silence between two pieces. */
    idleMs: number;
  };
}

/** Who asks. */
export interface GeminiIdentity {
  /** The workspace ("team"). */
  configId: string;
  userAgent: string;
  accessToken: string;
}

/** One question. */
export interface GeminiTurn {
  /** As `createSession` gave it. */
  sessionName: string;
  prompt: string;
  /** null = the server chooses. */
  modelId: string | null;
  /** What it may use for the answer. */
  tools: readonly GeminiTool[];
  /** BCP 47, such as `en-US`. */
  languageCode: string;
  /** IANA name. */
  timeZone: string;
}

const apiPath = '/v1alpha/locations/global';
const maxErrorBodyBytes = 64 * 1024;
const defaultLanguage = 'en-US';

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
  const request = { configId: identity.configId, additionalParams, createSessionRequest };
  const reply = await callOnSession(connection, identity, 'widgetCreateSession', request, signal);
  if (reply.status !== 200) throw refusedSession(reply);
  return sessionNameOf(reply.bodyText);
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
  const deleteSessionRequest = { name };
  const request = { configId: identity.configId, additionalParams, deleteSessionRequest };
  const reply = await callOnSession(connection, identity, 'widgetDeleteSession', request, signal);
  if (reply.status !== 200 && reply.status !== 404) throw refusedSession(reply);
}

function callOnSession(
  { endpoints, dispatcher, timeouts }: GeminiConnection,
  identity: GeminiIdentity,
  verb: string,
  request: object,
  signal: CancelSignal,
): Promise<WholeReply> {
  return readReply(
    dispatcher,
    {
      url: `${endpoints.apiUrl}${apiPath}/${verb}`,
      method: 'POST',
      headers: apiHeaders(endpoints, identity, defaultLanguage),
      body: JSON.stringify(request),
      deadlineMs: timeouts.sessionMs,
    },
    signal,
  );
}

function refusedSession({ status, bodyText, headers }: WholeReply): GeminiError {
  const retryAfter = headers['retry-after'];
  return classifyReply({ status, bodyText, retryAfter, call: 'session' });
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
          const retryAfter = headers['retry-after'];
          const hasLeft = failure?.fault === 'client_left';
          reject(hasLeft ? failure : classifyReply({ status, bodyText, retryAfter, call: 'chat' }));
        });
      },
      onFailure: reject,
    });
  });
}

/**
 * Protocol 6. No `accept-encoding`: compression would hold back small pieces. The language comes
 * from the caller: one that cannot stand in a header must not look like a fault of the account.
 */
function apiHeaders(
  endpoints: GeminiEndpoints,
  identity: GeminiIdentity,
  languageCode: string,
): Record<string, string> {
  const { origin } = flavourOf(endpoints);
  return {
    authorization: `Bearer ${identity.accessToken}`,
    'content-type': 'application/json',
    accept: '*/*',
    'accept-language': /^[\w-]+$/.test(languageCode) ? languageCode : defaultLanguage,
    origin,
    referer: `${origin}/`,
    'user-agent': identity.userAgent,
    'x-server-timeout': '1800',
  };
}

/** Beside the workspace id in every request (protocol 7). */
const additionalParams = { token: '-' };

/** Protocol 9.1. */
function chatBody(identity: GeminiIdentity, turn: GeminiTurn): string {
  const { modelId } = turn;
  return JSON.stringify({
    configId: identity.configId,
    additionalParams,
    streamAssistRequest: {
      session: turn.sessionName,
      query: { parts: [{ text: turn.prompt }] },
      filter: '',
      fileIds: [],
      answerGenerationMode: 'NORMAL',
      toolsSpec: toolsSpecOf(turn.tools),
      languageCode: turn.languageCode,
      userMetadata: { timeZone: turn.timeZone },
      assistSkippingMode: 'REQUEST_ASSIST',
      // What is undefined does not go up.
      assistGenerationConfig: modelId === null ? undefined : { modelId },
    },
  });
}

function sessionNameOf(bodyText: string): string {
  try {
    const name: unknown = JSON.parse(bodyText)?.session?.name;
    if (typeof name === 'string' && name !== '') return name;
  } catch {
    // Not JSON: said below.
  }
  throw new GeminiError('upstream', 'The session reply names no session', { reason: 'malformed' });
}
