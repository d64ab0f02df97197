import { toNextRoute } from '@/api/next-route';
import { imageGenerations } from '@/api/openai/images';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(imageGenerations);
