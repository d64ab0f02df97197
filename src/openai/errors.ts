import type { AppError, AppErrorCode } from '@/platform/errors';

/** The error object of every door that speaks OpenAI: all four keys are always there. */
export interface ErrorBody {
  error: { message: string; type: ErrorType; param: string | null; code: string | null };
}

type ErrorType = 'invalid_request_error' | 'rate_limit_error' | 'server_error';

interface Rendering {
  status: number;
  type: ErrorType;
  code: string | null;
  /** Where the error does not name one. */
  param?: string;
  /** For answers that must have `retry-after`, where the error does not know when. */
  retryAfterSeconds?: number;
}

const caller = (status: number, code: string | null, param?: string): Rendering => ({
  status,
  type: 'invalid_request_error',
  code,
  ...(param === undefined ? {} : { param }),
});

const server = (status: number, code: string | null): Rendering => ({
  status,
  type: 'server_error',
  code,
});

const renderings: Record<AppErrorCode, Rendering> = {
  invalid_request: caller(400, null),
  context_length_exceeded: caller(400, 'context_length_exceeded', 'messages'),
  content_policy_violation: caller(400, 'content_policy_violation'),
  missing_api_key: caller(401, null),
  invalid_api_key: caller(401, 'invalid_api_key'),
  model_not_allowed: caller(403, 'model_not_allowed', 'model'),
  model_not_found: caller(404, 'model_not_found', 'model'),
  unknown_url: caller(404, 'unknown_url'),
  not_found: caller(404, null),
  method_not_allowed: caller(405, null),
  conflict: caller(409, null),
  payload_too_large: caller(413, null),
  unsupported_encoding: caller(415, null),
  rate_limited: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retryAfterSeconds: 1,
  },
  client_left: caller(499, 'client_left'),
  internal: server(500, null),
  upstream_error: server(502, 'upstream_error'),
  no_account_available: server(503, 'no_account_available'),
  server_shutting_down: { ...server(503, 'server_shutting_down'), retryAfterSeconds: 5 },
  upstream_refused: server(503, 'upstream_error'),
  upstream_timeout: server(504, 'upstream_timeout'),
  no_image_generated: server(502, 'no_image_generated'),
  no_video_generated: server(502, 'no_video_generated'),
  storage_full: server(507, 'storage_full'),
};

/** What the same request would only bring about again. */
const futileCodes: ReadonlySet<AppErrorCode> = new Set([
  'no_image_generated',
  'no_video_generated',
  'storage_full',
]);

/** The HTTP status of an error under `/v1`. */
export function statusOf(error: AppError): number {
  return renderings[error.code].status;
}

/** What the caller reads of an error: as the body of an answer, or as the last event of a stream. */
export function toErrorBody(error: AppError): ErrorBody {
  const { type, code, param } = renderings[error.code];
  return {
    error: {
      message: error.message.toWellFormed(),
      type,
      param: error.param?.toWellFormed() ?? param ?? null,
      code: error.code === 'invalid_request' ? error.detail : code,
    },
  };
}

/**
 * The headers that belong to an error: `retry-after` in whole seconds, rounded up and at least 1
 * (always with 429 and at a stop), `www-authenticate` with 401, and `x-should-retry` where the SDKs
 * would try again, at the cost of an account's quota, what the same words would only bring again.
 */
export function errorHeaders(error: AppError): Record<string, string> {
  const { status, retryAfterSeconds } = renderings[error.code];
  const isFutile = futileCodes.has(error.code);
  const seconds =
    error.retryAfterMs === null
      ? retryAfterSeconds
      : Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  return {
    ...(seconds === undefined ? {} : { 'retry-after': String(seconds) }),
    ...(isFutile ? { 'x-should-retry': 'false' } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  };
}
