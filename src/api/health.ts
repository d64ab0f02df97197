import { type Endpoint, jsonReply, toResponse } from '@/api/reply';
import { requestId } from '@/openai/ids';
import { isDraining } from '@/platform/lifecycle';
import { version } from '@/platform/version';

const METHODS = 'GET, HEAD, OPTIONS';

/** `GET /health`: 200 while the server takes requests, 503 once it was told to stop. */
export const health: Endpoint = async (request) => {
  const common = {
    'x-request-id': requestId(),
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'x-request-id',
    'cache-control': 'no-store',
  };
  if (request.method === 'OPTIONS') {
    return toResponse({ status: 204, headers: { ...common, allow: METHODS }, body: null }, false);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return toResponse(
      jsonReply(405, { status: 'method not allowed' }, { ...common, allow: METHODS }),
      false,
    );
  }
  const draining = isDraining();
  const body = {
    status: draining ? 'draining' : 'ok',
    version,
    timestamp: new Date().toISOString(),
  };
  return toResponse(jsonReply(draining ? 503 : 200, body, common), request.method === 'HEAD');
};
