import { toNextRoute } from '@/api/next-route';
import { files } from '@/api/openai/files';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(files);
