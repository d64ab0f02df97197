import { toNextRoute } from '@/api/next-route';
import { notOffered } from '@/api/openai/not-offered';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(notOffered);
