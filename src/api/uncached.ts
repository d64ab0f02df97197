import { type Endpoint, jsonReply, type Reply, toResponse } from '@/api/reply';

type Method = 'GET' | 'POST';

/**
 * An address for the operator's programs, of one method: nothing of it is cached, and no page may
 * read it. HEAD is answered as GET.
 */
export function uncached(method: Method, handle: (request: Request) => Promise<Reply>): Endpoint {
  const accepted = method === 'GET' ? ['GET', 'HEAD'] : [method];
  const allow = [...accepted, 'OPTIONS'].join(', ');
  const answer = async (request: Request): Promise<Reply> => {
    if (request.method === 'OPTIONS') return { status: 204, headers: { allow }, body: null };
    if (accepted.includes(request.method)) return handle(request);
    return jsonReply(405, { status: 'method not allowed' }, { allow });
  };
  return async (request) => {
    const reply = await answer(request);
    const headers = { ...reply.headers, 'cache-control': 'no-store' };
    return toResponse({ ...reply, headers }, request.method === 'HEAD');
  };
}
