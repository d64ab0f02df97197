import type { ServerRequest } from 'srvx';
import { isLoopbackAddress, isLoopbackHost } from '@/platform/loopback';

const forwardingHeaders =
  /^(?:forwarded|via|cdn-loop|x-(?:forwarded|original|envoy|real-ip|client-ip|cluster-client-ip).*|(?:cf-connecting|true-client|fastly-client|fly-client)-ip)$/;

/**
 * Whether a request comes from this very machine (design 9): over a loopback socket, to a loopback
 * name, so that no page of another site can send it, and past no proxy. Never so under plain
 * `next start`, which does not tell whose socket it is.
 */
export function isFromSameMachine(request: Request): boolean {
  const socket = (request as ServerRequest).runtime?.node?.req.socket;
  const host = (request.headers.get('host') ?? '').toLowerCase().replace(/:\d*$/, '');
  return (
    isLoopbackAddress(socket?.remoteAddress ?? '') &&
    isLoopbackHost(host) &&
    ![...request.headers.keys()].some(isForwarding)
  );
}

function isForwarding(header: string): boolean {
  return forwardingHeaders.test(header);
}
