import { SHUTTING_DOWN } from '@/features/accounts/deadline';
import { DEADLINE } from '@/features/accounts/rest-rules';
import type { GeminiError } from '@/gemini/errors';
import { AppError, isAppError } from '@/platform/errors';

/**
 * What the caller is told of an upstream failure (design 9): a request that is to blame for itself
 * gets its 400; otherwise the last fault of all tries decides: limited, refused, broken or silent.
 */
export function toAppError(error: GeminiError): AppError {
  const cause = error;
  switch (error.fault) {
    case 'request':
      return toRequestError(error);
    case 'client_left':
      return new AppError('client_left', 'The client closed the connection.', { cause });
    case 'quota':
    case 'overload':
      return new AppError(
        'rate_limited',
        'The upstream limits requests at the moment. Try again later.',
        {
          cause,
          retryAfterMs: error.retryAfterMs ?? undefined,
        },
      );
    case 'credential':
    case 'config':
    case 'blocked':
      return new AppError(
        'upstream_refused',
        'The upstream refused the accounts that were tried. The operator must look at them.',
        { cause },
      );
    case 'ours':
      if (isAppError(error.cause)) return error.cause;
      return error.reason === SHUTTING_DOWN
        ? new AppError('server_shutting_down', 'The server stops. Try again in a moment.', {
            cause,
          })
        : new AppError('internal', 'The server failed.', { cause });
    case 'egress':
      return new AppError('upstream_error', 'The upstream can not be reached at the moment.', {
        cause,
      });
    default:
      return error.reason === 'timeout' || error.reason === DEADLINE
        ? new AppError('upstream_timeout', 'The upstream did not answer in time.', { cause })
        : new AppError('upstream_error', 'The upstream failed or broke off its answer.', { cause });
  }
}

/** What the caller is told of a model that the accounts turned out not to have. */
export function modelNotOffered(cause?: GeminiError): AppError {
  return new AppError(
    'invalid_request',
    'The workspaces of the accounts do not offer this model.',
    {
      param: 'model',
      cause,
    },
  );
}

function toRequestError(error: GeminiError): AppError {
  // What found the fault knows best what to say of it.
  if (isAppError(error.cause)) return error.cause;
  if (error.reason === 'PROMPT_TOO_LARGE') {
    return new AppError(
      'context_length_exceeded',
      'The conversation is longer than the model takes. Shorten it, or begin a new one.',
      { param: 'messages', cause: error },
    );
  }
  if (error.reason === 'CUSTOMER_POLICY_VIOLATION') {
    return new AppError(
      'content_policy_violation',
      "The request was blocked by the workspace's content policy.",
      { cause: error },
    );
  }
  if (error.reason === 'UNKNOWN_MODEL') {
    return modelNotOffered(error);
  }
  return new AppError('invalid_request', 'The upstream did not accept the request.', {
    cause: error,
  });
}
