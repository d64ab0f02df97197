import { health } from '@/api/health';
import { metrics } from '@/api/metrics';
import { chatCompletions } from '@/api/openai/chat-completions';
import { model, models } from '@/api/openai/models';
import { notOffered } from '@/api/openai/not-offered';
import { ready } from '@/api/ready';
import type { Endpoint } from '@/api/reply';

const exact: Record<string, Endpoint> = {
  '/health': health,
  '/metrics': metrics,
  '/ready': ready,
  '/v1/chat/completions': chatCompletions,
  '/v1/models': models,
};

/**
 * The endpoint of a path that the server answers by itself, before Next; null for everything that
 * is Next's. The files below `app/` name the same endpoints: a test walks both.
 */
export function endpointFor(path: string): Endpoint | null {
  const plain = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (Object.hasOwn(exact, plain)) return exact[plain] ?? null;
  if (plain.startsWith('/v1/models/')) return model;
  return plain === '/v1' || plain.startsWith('/v1/') ? notOffered : null;
}
