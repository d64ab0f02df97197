import type { ServerRequest } from 'srvx';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';

/**
 * Fires when the caller leaves. In our own lane it listens to the connection itself: the signal of the
 * request would be an `AbortSignal`, which the hot path has no need of.
 */
export function callerSignal(request: Request): CancelSignal {
  const response = (request as ServerRequest).runtime?.node?.res;
  if (!response) return request.signal;
  const cancellation = new Cancellation();
  const onClose = () => {
    if (!response.writableEnded) cancellation.abort();
  };
  response.once('close', onClose);
  if (response.destroyed) onClose();
  return cancellation;
}
