import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Pool, question, startPool } from '../support/pool';
import type { Way } from '../support/server';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const PATHS = [
  '/health',
  '/ready',
  '/v1',
  '/v1/',
  '/v1/models',
  '/v1/models/',
  '/v1/models?x=1',
  '/v1/models/gemini-enterprise',
  '/v1/models/gemini%2Denterprise',
  '/v1/models/no-such-model',
  '/v1/models/with/slash',
  '/v1/models/with%2Fslash',
  '/v1/chat/completions',
  '/v1/chat/completions/',
  '/v1/chat',
  '/v1/files',
  '/v1/files/',
  '/v1/files?limit=0',
  '/v1/files/no-such-file',
  '/v1/files/no-such-file/content',
  '/v1/files/no/such/file',
  '/v1/embeddings',
  '/v1/nothing/here',
];
const CHAT = '/v1/chat/completions';

/** What must be the same on both ways: all but what differs by the request and by the clock. */
async function answerOf(response: Response) {
  const text = await response.text();
  const headers = Object.fromEntries(
    [
      'content-type',
      'allow',
      'retry-after',
      'cache-control',
      'x-accel-buffering',
      'www-authenticate',
    ]
      .concat([...response.headers.keys()].filter((name) => name.startsWith('access-control-')))
      .map((name) => [name, response.headers.get(name)]),
  );
  return {
    status: response.status,
    headers,
    hasRequestId: response.headers.has('x-request-id'),
    body: text
      .replace(/chatcmpl-\w+/g, 'chatcmpl-ID')
      .replace(/"created":\d+/g, '"created":0')
      .replace(/"timestamp":"[^"]+"/g, '"timestamp":"T"'),
  };
}

describe('both ways in give the same answers', () => {
  const pools = {} as Record<Way, Pool>;

  beforeAll(async () => {
    [pools.custom, pools.next] = await Promise.all([
      startPool({ way: 'custom', settings: { maxBodyBytes: 32 * 1_048_576 } }),
      startPool({ way: 'next', settings: { maxBodyBytes: 32 * 1_048_576 } }),
    ]);
    // A model's `created` is when it was configured, which differs by a moment.
  });
  afterAll(() => Promise.all(Object.values(pools).map((pool) => pool.close())));

  async function both(path: string, init: RequestInit) {
    const [custom, next] = await Promise.all(
      (['custom', 'next'] as const).map(async (way) =>
        answerOf(await pools[way].call(path, undefined, init)),
      ),
    );
    expect(next).toEqual(custom);
    return custom;
  }

  it.each(PATHS)('%s, with every method', async (path) => {
    for (const method of METHODS) {
      const answer = await both(path, { method });
      expect(answer?.status).toBeLessThan(500);
    }
  });

  it.each(PATHS.filter((path) => path.startsWith('/v1')))(
    '%s without a key is 401, preflights aside',
    async (path) => {
      for (const method of METHODS) {
        const answer = await both(path, { method, headers: { authorization: '' } });
        expect(answer?.status).toBe(method === 'OPTIONS' ? 204 : 401);
      }
    },
  );

  it('a preflight allows what it was asked for', async () => {
    const answer = await both(CHAT, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://example.com',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,x-stainless-os',
      },
    });
    expect(answer?.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-allow-headers': 'authorization,x-stainless-os',
    });
  });

  it('a chat, and a stream', async () => {
    const body = { model: 'gemini-enterprise', messages: question('text value="你好 😀" size=1') };
    const plain = await both(CHAT, { method: 'POST', body: JSON.stringify(body) });
    expect(JSON.parse(plain?.body ?? '').choices[0].message.content).toBe('你好 😀');
    const stream = await both(CHAT, {
      method: 'POST',
      body: JSON.stringify({ ...body, stream: true }),
    });
    expect(stream?.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(stream?.body.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('a body of 20 MB, plain and packed', async () => {
    const text = 'lorem ipsum '.repeat(1_747_626);
    const body = JSON.stringify({
      model: 'gemini-enterprise',
      messages: [{ role: 'user', content: `${text}[[text value=ok]]` }],
    });
    for (const way of Object.values(pools)) way.standIn.promptLimitCharacters = 30_000_000;
    const init = { method: 'POST', headers: { 'content-encoding': 'gzip' } };
    for (const sent of [
      { method: 'POST', body },
      { ...init, body: gzipSync(body) },
    ]) {
      const answer = await both(CHAT, sent);
      expect(JSON.parse(answer?.body ?? '').choices?.[0].message.content).toBe('ok');
    }
    for (const way of Object.values(pools)) {
      expect(way.standIn.sessions.turns.at(-1)?.prompt).toHaveLength(text.length + 17);
    }
  });

  it.each([
    ['nothing', ''],
    ['no JSON', '{"model":'],
    ['a list', '[]'],
    ['no model', '{"messages":[{"role":"user","content":"x"}]}'],
    ['an unknown model', '{"model":"nope","messages":[{"role":"user","content":"x"}]}'],
    [
      'a picture',
      '{"model":"gemini-enterprise","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/x.png"}}]}]}',
    ],
  ])('a body that is %s', async (_, body) => {
    const answer = await both(CHAT, { method: 'POST', body });
    expect([400, 404]).toContain(answer?.status);
    expect(Object.keys(JSON.parse(answer?.body ?? '').error)).toEqual([
      'message',
      'type',
      'param',
      'code',
    ]);
  });

  it('a body above the limit, announced, unannounced or packed', async () => {
    const large = Buffer.alloc(40_000_000, 0x20);
    const chunked = () =>
      new ReadableStream({
        start(controller) {
          for (let at = 0; at < large.length; at += 1_000_000) {
            controller.enqueue(large.subarray(at, at + 1_000_000));
          }
          controller.close();
        },
      });
    const packed = { 'content-encoding': 'gzip' };
    for (const init of [
      () => ({ body: large }),
      () => ({ body: chunked(), duplex: 'half' }),
      () => ({ body: gzipSync(large), headers: packed }),
    ]) {
      for (const pool of Object.values(pools)) {
        const response = await pool.call(CHAT, undefined, {
          method: 'POST',
          ...init(),
        } as RequestInit);
        expect(response.status).toBe(413);
        expect((await response.json()).error.type).toBe('invalid_request_error');
      }
    }
  });

  it.each(['custom', 'next'] as const)('%s: pieces go out as they come', async (way) => {
    const { standIn, client } = pools[way];
    const stream = await client.chat.completions.create({
      model: 'gemini-enterprise',
      messages: question('lockstep n=5 id=ways'),
      stream: true,
    });
    let content = '';
    let seen = 0;
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? '';
      if (!chunk.choices[0]?.delta.content) continue;
      seen += 1;
      expect(standIn.ackPiece('ways')).toBe(true);
    }
    expect(seen).toBe(5);
    expect(content).toBe('piece 1 piece 2 piece 3 piece 4 piece 5');
  });
});
