import { health } from '@/api/health';
import { toNextRoute } from '@/api/next-route';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(health);
