import { cfbedTest } from '@/api/cfbed-test';
import { toNextRoute } from '@/api/next-route';

export const { GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS } = toNextRoute(cfbedTest);
