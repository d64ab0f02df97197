import { hasAdminSecret } from '@/api/admin-secret';
import { type Endpoint, jsonReply, type Reply, toResponse } from '@/api/reply';
import { isFromSameMachine } from '@/api/same-machine';
import { countAccounts } from '@/features/accounts/accounts';
import { queueLength } from '@/features/accounts/wait-queue';
import { stockSize } from '@/features/chat/session-stock';
import { renderMetrics } from '@/features/usage/metrics';
import { env } from '@/platform/env';

const METHODS = 'GET, HEAD, OPTIONS';

/**
 * `GET /metrics`: Prometheus' text form. For who has ADMIN_SECRET_KEY, and for this machine itself;
 * no page may read it.
 */
export const metrics: Endpoint = async (request) => {
  const reply = await answer(request);
  const headers = { ...reply.headers, 'cache-control': 'no-store' };
  return toResponse({ ...reply, headers }, request.method === 'HEAD');
};

async function answer(request: Request): Promise<Reply> {
  if (request.method === 'OPTIONS') return { status: 204, headers: { allow: METHODS }, body: null };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return jsonReply(405, { status: 'method not allowed' }, { allow: METHODS });
  }
  return refusalOf(request) ?? (await figures());
}

/** Null if the request may read the metrics. */
function refusalOf(request: Request): Reply | null {
  if (hasAdminSecret(request) || isFromSameMachine(request)) return null;
  return env().adminSecretKey === null
    ? jsonReply(403, {
        status: 'forbidden: set ADMIN_SECRET_KEY to read the metrics from elsewhere',
      })
    : jsonReply(401, { status: 'unauthorized' }, { 'www-authenticate': 'Bearer' });
}

async function figures(): Promise<Reply> {
  const { byState: accounts, resting } = await countAccounts(Date.now());
  const pool = { accounts, resting, queueLength: queueLength(), sessionStock: stockSize() };
  const { text, type } = await renderMetrics(pool);
  return { status: 200, headers: { 'content-type': type }, body: text };
}
