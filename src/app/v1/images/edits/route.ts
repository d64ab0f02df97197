import { toNextRoute } from '@/api/next-route';
import { imageEdits } from '@/api/openai/images';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(imageEdits);
