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
