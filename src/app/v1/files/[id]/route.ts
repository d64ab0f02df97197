import { toNextRoute } from '@/api/next-route';
import { file } from '@/api/openai/files';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(file);
