import { cfbedTest } from '@/api/cfbed-test';
import { health } from '@/api/health';
import { image, video } from '@/api/media';
import { metrics } from '@/api/metrics';
import { chatCompletions } from '@/api/openai/chat-completions';
import { file, fileContent, files } from '@/api/openai/files';
import { imageEdits, imageGenerations } from '@/api/openai/images';
import { model, models } from '@/api/openai/models';
import { notOffered } from '@/api/openai/not-offered';
import { videoContent, video as videoJob, videos } from '@/api/openai/videos';
import { ready } from '@/api/ready';
import type { Endpoint } from '@/api/reply';

const exact: Record<string, Endpoint> = {
  '/api/cfbed/test': cfbedTest,
  '/health': health,
  '/metrics': metrics,
  '/ready': ready,
  '/v1/chat/completions': chatCompletions,
  '/v1/files': files,
  '/v1/images/edits': imageEdits,
  '/v1/images/generations': imageGenerations,
  '/v1/models': models,
  '/v1/videos': videos,
};

/**
 * The endpoint of a path that the server answers by itself, before Next; null for everything that
 * is Next's. The files below `app/` name the same endpoints: a test walks both.
 */
export function endpointFor(path: string): Endpoint | null {
  const plain = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (Object.hasOwn(exact, plain)) return exact[plain] ?? null;
  if (plain.startsWith('/v1/models/')) return model;
  if (/^\/v1\/files\/[^/]+$/.test(plain)) return file;
  if (/^\/v1\/files\/[^/]+\/content$/.test(plain)) return fileContent;
  if (plain.startsWith('/image/')) return image;
  if (plain.startsWith('/video/')) return video;
  if (/^\/v1\/videos\/[^/]+$/.test(plain)) return videoJob;
  if (/^\/v1\/videos\/[^/]+\/content$/.test(plain)) return videoContent;
  return plain === '/v1' || plain.startsWith('/v1/') ? notOffered : null;
}
