import { probe } from '@/api/probe';
import { isDraining } from '@/platform/lifecycle';
import { version } from '@/platform/version';

/** `GET /health`: 200 while the server takes requests, 503 once it was told to stop. */
export const health = probe(async () => {
  const draining = isDraining();
  const status = draining ? 'draining' : 'ok';
  return {
    status: draining ? 503 : 200,
    body: { status, version, timestamp: new Date().toISOString() },
  };
});
