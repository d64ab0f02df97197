import { expect, it } from 'vitest';
import { health } from '@/api/health';

it.each(['GET', 'HEAD', 'OPTIONS', 'POST'])(
  'has a request id for a page to read: %s',
  async (method) => {
    const ask = () => health(new Request('http://127.0.0.1/health', { method }));
    const { headers } = await ask();
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(headers.get('access-control-expose-headers')).toBe('x-request-id');
    expect((await ask()).headers.get('x-request-id')).not.toBe(headers.get('x-request-id'));
  },
);
