import { toNextRoute } from '@/api/next-route';
import { videos } from '@/api/openai/videos';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(videos);
