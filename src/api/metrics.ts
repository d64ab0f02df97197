import { hasAdminSecret } from '@/api/admin-secret';
import { jsonReply, type Reply } from '@/api/reply';
import { isFromSameMachine } from '@/api/same-machine';
import { uncached } from '@/api/uncached';
import { countAccounts } from '@/features/accounts/accounts';
import { queueLength } from '@/features/accounts/wait-queue';
import { stockSize } from '@/features/chat/session-stock';
import { renderMetrics } from '@/features/usage/metrics';
import { env } from '@/platform/env';
import { endOfTurn } from '@/platform/turn';

/**
 * `GET /metrics`: Prometheus' text form. For who has ADMIN_SECRET_KEY, and for this machine itself;
 * no page may read it.
 */
export const metrics = uncached('GET', async (request) => refusalOf(request) ?? (await figures()));

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
  // What ended in the turn before is counted by then.
  await endOfTurn();
  const { byState: accounts, resting } = await countAccounts(Date.now());
  const pool = { accounts, resting, queueLength: queueLength(), sessionStock: stockSize() };
  const { text, type } = await renderMetrics(pool);
  return { status: 200, headers: { 'content-type': type }, body: text };
}
