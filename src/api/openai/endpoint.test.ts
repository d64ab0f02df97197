import { expect, it } from 'vitest';
import { openAiEndpoint } from '@/api/openai/endpoint';

it('lets a page read how long an answer is, and of what it is a part', async () => {
  const endpoint = openAiEndpoint({ route: '/v1/x', methods: {}, logged: false });
  const request = new Request('http://127.0.0.1/v1/x', { method: 'OPTIONS' });
  const exposed = (await endpoint(request)).headers.get('access-control-expose-headers');
  expect(exposed?.split(', ')).toEqual(
    expect.arrayContaining(['x-request-id', 'content-length', 'content-range', 'accept-ranges']),
  );
});
