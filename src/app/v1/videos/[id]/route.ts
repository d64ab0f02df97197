import { toNextRoute } from '@/api/next-route';
import { video } from '@/api/openai/videos';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(video);
