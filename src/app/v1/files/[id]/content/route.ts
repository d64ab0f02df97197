import { toNextRoute } from '@/api/next-route';
import { fileContent } from '@/api/openai/files';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(fileContent);
