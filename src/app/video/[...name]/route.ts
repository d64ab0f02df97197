import { video } from '@/api/media';
import { toNextRoute } from '@/api/next-route';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(video);
