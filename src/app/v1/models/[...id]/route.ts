import { toNextRoute } from '@/api/next-route';
import { model } from '@/api/openai/models';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(model);
