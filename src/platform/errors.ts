/** Every failure that the product means to show to someone, whatever the door. */
export type AppErrorCode =
  | 'invalid_request'
  | 'context_length_exceeded'
  | 'content_policy_violation'
  | 'missing_api_key'
  | 'invalid_api_key'
  | 'model_not_allowed'
  | 'model_not_found'
  | 'unknown_url'
  | 'method_not_allowed'
  | 'payload_too_large'
  | 'unsupported_encoding'
  | 'storage_full'
  | 'no_image_generated'
  | 'no_video_generated'
  | 'rate_limited'
  | 'no_account_available'
  | 'server_shutting_down'
  | 'upstream_refused'
  | 'upstream_error'
  | 'upstream_timeout'
  | 'client_left'
  | 'not_found'
  | 'conflict'
  | 'internal';

const brand = Symbol.for('business-gemini-pool.app-error');

export interface AppErrorOptions {
  /** Path of the offending value as the caller wrote it, such as `messages[0].content`. */
  param?: string | undefined;
  /** A finer word than `code` for the caller, such as `invalid_type`. */
  detail?: string | undefined;
  /** When it is worth trying again. */
  retryAfterMs?: number | undefined;
  /** For the log alone; never shown. */
  cause?: unknown;
}

/**
 * A failure with a message that may be shown to whoever asked. Its `cause` goes to the log only.
 * Test for it with `isAppError`: `instanceof` fails between the module copies of one process.
 */
export class AppError extends Error {
  readonly [brand] = true;
  override readonly name = 'AppError';
  readonly code: AppErrorCode;
  readonly param: string | null;
  readonly detail: string | null;
  readonly retryAfterMs: number | null;

  constructor(code: AppErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param ?? null;
    this.detail = options.detail ?? null;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** True for an `AppError` of any module copy. */
export function isAppError(error: unknown): error is AppError {
  return typeof error === 'object' && error !== null && brand in error;
}

/** An attacker's or a fuzzer's value, short enough to be named in a message; well formed. */
export function excerpt(value: string, maxCharacters = 100): string {
  // The cut may fall into the middle of a character.
  const short = value.length <= maxCharacters ? value : `${value.slice(0, maxCharacters)}…`;
  return short.toWellFormed();
}
