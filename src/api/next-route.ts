import type { Endpoint } from '@/api/reply';

/** An endpoint as the exports of a Next route: one function for every method. */
export function toNextRoute(endpoint: Endpoint) {
  return {
    GET: endpoint,
    HEAD: endpoint,
    POST: endpoint,
    PUT: endpoint,
    PATCH: endpoint,
    DELETE: endpoint,
    OPTIONS: endpoint,
  };
}
