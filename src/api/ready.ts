import { probe } from '@/api/probe';
import { hasReadySeat } from '@/features/accounts/readiness';
import { settings } from '@/features/settings/settings';
import { isDraining } from '@/platform/lifecycle';
import { log } from '@/platform/log';

/**
 * `GET /ready`: 200 if a question would find an account now, else 503. For a balancer, so without a
 * word on why.
 */
export const ready = probe(async () => {
  const isReady = !isDraining() && (await canServe());
  return { status: isReady ? 200 : 503, body: { status: isReady ? 'ready' : 'not_ready' } };
});

async function canServe(): Promise<boolean> {
  try {
    return await hasReadySeat(await settings());
  } catch (error) {
    log().warn({ err: error }, 'readiness could not be told');
    return false;
  }
}
