import { toNextRoute } from '@/api/next-route';
import { models } from '@/api/openai/models';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(models);
