import type { Dispatcher } from 'undici';
import type { CancelSignal } from '@/platform/cancellation';
import { flavourOf, type GeminiEndpoints } from './endpoints';
import { classifyReply, type GeminiCall, GeminiError } from './errors';
import { readReply, type WholeReply } from './exchange';

/** The way to the upstream: hosts, egress (a proxy is another dispatcher) and wait limits. */
export interface GeminiConnection {
  endpoints: GeminiEndpoints;
  dispatcher: Dispatcher;
  timeouts: {
    /** Key request with all its hops. */
    keyMs: number;
    /** Creation or deletion of a session, or the list of its files. */
    sessionMs: number;
    /** From sending to the first text, thought or file. */
    firstContentMs: number;
    /** Silence between two pieces. */
    idleMs: number;
    /** Upload of one file. */
    uploadMs: number;
    /** Silence within a download, also before its first byte. */
    downloadIdleMs: number;
    /** Download of one file with all its hops. */
    downloadMs: number;
  };
}

/** Who asks. */
export interface GeminiIdentity {
  /** The workspace ("team"). */
  configId: string;
  userAgent: string;
  accessToken: string;
}

/** One of the short calls; its reply is a JSON object. */
export interface ShortCall {
  /** Last part of the path, such as `widgetCreateSession`. */
  verb: string;
  /** The verb's own field of the envelope. */
  request: object;
  deadlineMs: number;
}

export const apiPath = '/v1alpha/locations/global';
export const defaultLanguage = 'en-US';

/** What every widget call sends around its own request (protocol 7). */
export function envelopeOf(identity: GeminiIdentity, request: object): object {
  return { configId: identity.configId, additionalParams: { token: '-' }, ...request };
}

/**
 * Protocol 6. No `accept-encoding`: compression would hold back small pieces. The language comes
 * from the caller: one that cannot stand in a header must not look like a fault of the account.
 */
export function apiHeaders(
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

/**
 * Makes a short call and reads its whole reply, whatever the status.
 *
 * @throws GeminiError as `readReply` does
 */
export function callApi(
  { endpoints, dispatcher }: GeminiConnection,
  identity: GeminiIdentity,
  { verb, request, deadlineMs }: ShortCall,
  signal: CancelSignal,
): Promise<WholeReply> {
  return readReply(
    dispatcher,
    {
      url: `${endpoints.apiUrl}${apiPath}/${verb}`,
      method: 'POST',
      headers: apiHeaders(endpoints, identity, defaultLanguage),
      body: JSON.stringify(envelopeOf(identity, request)),
      deadlineMs,
    },
    signal,
  );
}

/** The failure that a reply of an unwelcome status means for `call`. */
export function refusalOf(
  { status, bodyText, headers }: WholeReply,
  call: GeminiCall,
): GeminiError {
  return classifyReply({ status, bodyText, retryAfter: headers['retry-after'], call });
}

/**
 * The JSON of a good reply.
 *
 * @throws GeminiError `upstream` with reason `malformed` if it is none
 */
export function parseReply({ bodyText }: WholeReply): unknown {
  try {
    return JSON.parse(bodyText);
  } catch {
    throw malformedReply('The reply is not JSON');
  }
}

/** A good status with a body that says nothing we can use. */
export function malformedReply(message: string): GeminiError {
  return new GeminiError('upstream', message, { reason: 'malformed' });
}
