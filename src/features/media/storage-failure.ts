import { AppError, isAppError } from '@/platform/errors';
import { isPublicFetchError } from '@/platform/public-fetch';

/**
 * What went wrong with `what`, such as `The bucket`, in words that hold no address and no secret; an
 * `upstream_timeout` or an `upstream_error`. An AppError is that one.
 */
export function storageFailure(what: string, error: unknown): AppError {
  if (isAppError(error)) return error;
  const { name, code, $metadata } = (error ?? {}) as {
    name?: string;
    code?: string;
    $metadata?: { httpStatusCode?: number };
  };
  const cause = error;
  if (name === 'TimeoutError') {
    return new AppError('upstream_timeout', `${what} has not answered in time.`, { cause });
  }
  if (isPublicFetchError(error) && error.reason === 'private_address') {
    const message = `${what} is not on the public internet. Allow its address with ALLOW_PRIVATE_URLS.`;
    return new AppError('upstream_error', message, { cause });
  }
  const status = $metadata?.httpStatusCode;
  if (status !== undefined) {
    return new AppError('upstream_error', `${what} answers HTTP ${status} (${name}).`, { cause });
  }
  const why = isPublicFetchError(error) ? error.reason : (code ?? name ?? 'no reason');
  return new AppError('upstream_error', `${what} can not be reached (${why}).`, { cause });
}
