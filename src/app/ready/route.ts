import { toNextRoute } from '@/api/next-route';
import { ready } from '@/api/ready';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(ready);
