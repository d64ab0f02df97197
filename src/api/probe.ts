import { type Endpoint, jsonReply, toResponse } from '@/api/reply';
import { requestId } from '@/openai/ids';

const METHODS = 'GET, HEAD, OPTIONS';

/**
 * An address that machines ask how the server is: `check` gives the status and the body. Without a
 * key, readable for any page, never cached.
 */
export function probe(check: () => Promise<{ status: number; body: object }>): Endpoint {
  return async ({ method }) => {
    const common = {
      'x-request-id': requestId(),
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'x-request-id',
      'cache-control': 'no-store',
    };
    if (method === 'OPTIONS') {
      return toResponse({ status: 204, headers: { ...common, allow: METHODS }, body: null }, false);
    }
    if (method !== 'GET' && method !== 'HEAD') {
      const refusal = { status: 'method not allowed' };
      return toResponse(jsonReply(405, refusal, { ...common, allow: METHODS }), false);
    }
    const { status, body } = await check();
    return toResponse(jsonReply(status, body, common), method === 'HEAD');
  };
}
