import { metrics } from '@/api/metrics';
import { toNextRoute } from '@/api/next-route';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(metrics);
