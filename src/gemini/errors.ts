import { isProxyError } from '@/platform/proxy-error';

/**
 * Whose failure it is (design 9). `client_left` and `ours` are in the list since the log and the
 * metrics use the same words; the upstream client itself never throws `ours`.
 */
export type Fault =
  | 'request'
  | 'credential'
  | 'blocked'
  | 'config'
  | 'state'
  | 'quota'
  | 'overload'
  | 'egress'
  | 'upstream'
  | 'truncated'
  | 'client_left'
  | 'ours';

const brand = Symbol.for('business-gemini-pool.gemini-error');

export interface GeminiErrorOptions {
  /** HTTP status of the reply or `error.code` of the element, where there was one. */
  status?: number | undefined;
  /** The upstream's own word: `details[].reason`, `error.status`, or one of ours such as `timeout`. */
  reason?: string | undefined;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * A failed call to the upstream, classified. `message` is safe for the operator's eyes (no cookie,
 * token or URL with a credential in it) but is not meant for callers of `/v1`.
 */
export class GeminiError extends Error {
  readonly [brand] = true;
  override readonly name = 'GeminiError';
  readonly fault: Fault;
  readonly status: number | null;
  readonly reason: string | null;
  readonly retryAfterMs: number | null;

  constructor(fault: Fault, message: string, options: GeminiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.fault = fault;
    this.status = options.status ?? null;
    this.reason = options.reason ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** True for a `GeminiError` of any module copy. */
export function isGeminiError(error: unknown): error is GeminiError {
  return typeof error === 'object' && error !== null && brand in error;
}

/** Which call was answered; the same status means different things (protocol 4.3, 8.3, 13.3, 17.1). */
export type GeminiCall = 'key' | 'session' | 'chat' | 'upload' | 'files' | 'download';

export interface Reply {
  status: number;
  /** The body, or its beginning. */
  bodyText: string;
  /** Value of the `Retry-After` header. */
  retryAfter?: string | null | undefined;
  call: GeminiCall;
}

/** What an error body says, whatever its form. */
interface Complaint {
  call: GeminiCall;
  status: number | undefined;
  /** `details[].reason`, else the status word. */
  reason: string | undefined;
  message: string;
}

interface Rule {
  fault: Fault;
  call?: GeminiCall;
  status?: readonly number[];
  reason?: string;
  text?: RegExp;
  /** Our word for what the upstream only says in prose. */
  as?: string;
}

const fileNotFound = /file with id\b.*\bnot found/is;

/**
 * Protocol 4.3, 8.3, 13.3, 17.1 and 28 as one table: the first rule that fits decides, none is
 * `upstream`. A 403 of the widget API without a known text stays `upstream`, since a limited exit
 * address gives it for every account at once and renewing them all would not help. We upload what a
 * question names, into its own session: one that has not got the file has lost it.
 */
const rules: readonly Rule[] = [
  { fault: 'request', text: /PROMPT_TOO_LARGE/, as: 'PROMPT_TOO_LARGE' },
  { fault: 'request', call: 'upload', status: [413], as: 'FILE_TOO_LARGE' },
  { fault: 'request', status: [413], as: 'PROMPT_TOO_LARGE' },
  { fault: 'request', status: [400], text: /unsupported file type/i, as: 'UNSUPPORTED_FILE_TYPE' },
  { fault: 'overload', reason: 'LLM_OVERLOADED' },
  { fault: 'quota', reason: 'QUOTA_EXCEEDED' },
  { fault: 'blocked', status: [403], text: /access restricted/i, as: 'ACCESS_RESTRICTED' },
  { fault: 'state', status: [403], text: /session is not owned/i, as: 'SESSION_NOT_OWNED' },
  { fault: 'state', call: 'chat', status: [400, 404], text: fileNotFound, as: 'FILE_NOT_FOUND' },
  { fault: 'credential', status: [401] },
  { fault: 'credential', call: 'key', status: [403] },
  { fault: 'overload', call: 'key', status: [429] },
  // Quotas are of questions, and not of their files.
  { fault: 'overload', call: 'upload', status: [429] },
  { fault: 'overload', call: 'files', status: [429] },
  { fault: 'overload', call: 'download', status: [429] },
  { fault: 'quota', status: [429] },
  { fault: 'config', call: 'session', status: [400] },
  { fault: 'request', call: 'upload', status: [400] },
  { fault: 'state', call: 'upload', status: [404] },
  { fault: 'state', call: 'chat', status: [404] },
  { fault: 'request', call: 'chat', status: [400], text: /\bmodel\b/i, as: 'UNKNOWN_MODEL' },
  { fault: 'request', call: 'chat', status: [400] },
];

/** Status of an error element that has the word but no code (google.rpc.Code). */
const statusOfWord: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

/** The failure that a reply with an unwelcome status means. Never throws, whatever the body is. */
export function classifyReply(reply: Reply): GeminiError {
  const { status, call, bodyText } = reply;
  const body = parseErrorBody(bodyText);
  const complaint = complaintOf(call, status, body);
  return judge(complaint, body === null ? bodyText : '', retryAfterMsOf(reply.retryAfter));
}

/** The failure that an element's `error` value means (protocol 17.1). Never throws. */
export function classifyErrorObject(error: unknown): GeminiError {
  return judge(complaintOf('chat', undefined, error), '', undefined);
}

/** Takes what stands in front of the key host's JSON away (protocol 4.2). */
export function withoutJsonPrefix(text: string): string {
  return text.startsWith(")]}'") ? text.slice(4) : text;
}

function judge(complaint: Complaint, page: string, retryAfterMs: number | undefined): GeminiError {
  const { call, status, reason, message } = complaint;
  const text = `${reason} ${message} ${page}`;
  const rule = rules.find(
    (candidate) =>
      (candidate.call === undefined || candidate.call === call) &&
      (candidate.status === undefined || candidate.status.includes(status ?? 0)) &&
      (candidate.reason === undefined || candidate.reason === reason) &&
      (candidate.text === undefined || candidate.text.test(text)),
  );
  const finalReason = rule?.as ?? reason;
  const words = [`The ${call} call was refused:`, status, finalReason, redacted(message)];
  return new GeminiError(
    rule?.fault ?? 'upstream',
    words.filter((word) => word !== undefined && word !== '').join(' '),
    { status, reason: finalReason, retryAfterMs },
  );
}

function complaintOf(call: GeminiCall, status: number | undefined, body: unknown): Complaint {
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const word = typeof fields.status === 'string' ? fields.status : undefined;
  const code = typeof fields.code === 'number' ? fields.code : statusOfWord[word ?? ''];
  return {
    call,
    status: status ?? code,
    reason: (detailReason(fields.details) ?? word)?.slice(0, 100),
    message: typeof fields.message === 'string' ? fields.message : '',
  };
}

function detailReason(details: unknown): string | undefined {
  if (!Array.isArray(details)) return undefined;
  return details.map((detail) => detail?.reason).find((reason) => typeof reason === 'string');
}

/** The error object of a body: `{error}`, `[{error}]`, or the key host's flat form; null for others. */
function parseErrorBody(text: string): unknown {
  try {
    const body = JSON.parse(withoutJsonPrefix(text));
    const first = Array.isArray(body) ? body.find((element) => element?.error) : body;
    return first?.error ?? first ?? null;
  } catch {
    return null;
  }
}

const shortestWaitMs = 1_000;
const longestWaitMs = 86_400_000;

/** The wait that the header names, from 1 s to 24 h whatever it says; undefined if it says nothing. */
function retryAfterMsOf(header: string | null | undefined): number | undefined {
  // A header sent twice is an array at run time.
  const text = typeof header === 'string' ? header.trim() : '';
  if (text === '') return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  if (Number.isNaN(waitMs)) return undefined;
  return Math.min(Math.max(waitMs, shortestWaitMs), longestWaitMs);
}

const secrets =
  /\b(?:CSE|COS)\.[^\s"';,]+|\beyJ[\w-]+\.[\w.-]+|\bBearer\s+\S+|(?<=:\/\/)[^\s/@]+@/gi;

function redacted(message: string): string {
  return message.slice(0, 300).replace(/\s+/g, ' ').replace(secrets, '***');
}

/** No connection came about: name, route or TLS. */
const egressCodes =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EPROTO|CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|UND_ERR_CONNECT_TIMEOUT|UND_ERR_DESTROYED|UND_ERR_CLOSED)/;

/**
 * The failure that an error of the network means; a `GeminiError` is returned as it is.
 *
 * Reasons of ours: `timeout`, `bad_http`, `connection_lost`, and of a proxy `PROXY_UNREACHABLE`,
 * `PROXY_AUTH`, `PROXY_NO_ROUTE`; else the error's own code.
 *
 * @param options.connected whether the request had a connection, where that is known: an error
 *   before it is `egress` whatever its code, such as a reset in the TLS handshake.
 */
export function classifyNetworkError(
  error: unknown,
  options: { connected?: boolean } = {},
): GeminiError {
  if (isGeminiError(error)) return error;
  if (isProxyError(error)) {
    return new GeminiError('egress', error.message, { reason: error.code, cause: error });
  }
  const { name, code } = nameAndCodeOf(error);
  if (name === 'AbortError' || name === 'ResponseAborted') {
    return new GeminiError('client_left', 'The caller left', { cause: error });
  }
  const label = code || name;
  if (code === 'UND_ERR_INVALID_ARG') {
    const message = 'A stored value of the account cannot be sent in a header';
    return new GeminiError('config', message, { reason: label, cause: error });
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new GeminiError('upstream', 'The upstream fell silent', {
      reason: 'timeout',
      cause: error,
    });
  }
  if (options.connected === false || egressCodes.test(code) || isBrokenHandshake(error)) {
    return new GeminiError('egress', `No connection to the upstream: ${label}`, {
      reason: label,
      cause: error,
    });
  }
  const reason = code.startsWith('HPE_') ? 'bad_http' : 'connection_lost';
  return new GeminiError('upstream', `The connection broke: ${label}`, { reason, cause: error });
}

/** The first code along the chain of causes: fetch and proxies wrap the fact that counts. */
function nameAndCodeOf(error: unknown): { name: string; code: string } {
  let name = '';
  let current = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
    name ||= current.name;
    if ('code' in current && typeof current.code === 'string') return { name, code: current.code };
    current = current.cause;
  }
  return { name: name || 'unknown error', code: '' };
}

function isBrokenHandshake(error: unknown): boolean {
  return error instanceof Error && error.message.includes('before secure TLS');
}
