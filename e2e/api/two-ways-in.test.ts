import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { gzipSync } from 'node:zlib';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePng } from '../stand-in/png';
import { lastSum, makeMedium, sumAt } from '../support/media';
import { eventually, type Pool, question, startPool } from '../support/pool';
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
  '/v1/images/generations',
  '/v1/images/edits',
  '/v1/images/variations',
  '/v1/images',
  '/v1/videos',
  '/v1/videos/',
  '/v1/videos?limit=0',
  '/v1/videos/x',
  '/v1/videos/x/content',
  '/v1/videos/x/remix',
  `/image/${'0'.repeat(32)}.png`,
  '/image/a/b',
  '/image/%2e%2e%2fpool.db',
  `/video/${'0'.repeat(32)}.mp4?thumbnail`,
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

/**
 * The same for a medium, whose bytes and name are other ones each time. Next gives no length of what
 * a route answers, and adds its own words to `vary`.
 */
async function mediumAt(address: string, init: RequestInit) {
  const response = await fetch(address, init);
  const { headers } = response;
  const { byteLength } = await response.arrayBuffer();
  const isPicture = /png|webp/.test(headers.get('content-type') ?? '');
  const differing = ['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length'];
  const own = [...headers].filter(
    ([name]) => !differing.includes(name) && !['vary', 'etag', 'x-request-id'].includes(name),
  );
  return {
    status: response.status,
    headers: Object.fromEntries(own),
    has: [headers.has('etag'), headers.has('x-request-id')],
    bytes: isPicture ? null : byteLength,
  };
}

/** What a process has open, on Linux. */
function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return fs.readdirSync(folder).flatMap((name) => {
    try {
      return [fs.readlinkSync(`${folder}/${name}`)];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
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

  it('what was made: whole, in part, small, and not again to whom has it', async () => {
    const answers = await Promise.all(
      (['custom', 'next'] as const).map(async (way) => {
        const pool = pools[way];
        const [picture, video] = [await makeMedium(pool, 'image'), await makeMedium(pool, 'video')];
        const name = picture.split('/').at(-1) ?? '';
        const asked: [string, RequestInit][] = [
          [picture, {}],
          [picture, { method: 'HEAD' }],
          [picture, { headers: { 'if-none-match': `"${name}"` } }],
          [`${picture}?thumbnail`, {}],
          [picture.replace('/image/', '/video/'), {}],
          [video, { headers: { range: 'bytes=5-99' } }],
          [video, { headers: { range: 'bytes=-7' } }],
          [video, { headers: { range: 'bytes=99999999-' } }],
          [video, { method: 'OPTIONS', headers: { origin: 'https://example.com' } }],
          [video, { method: 'DELETE' }],
        ];
        const seen: unknown[] = [];
        for (const [address, init] of asked) seen.push(await mediumAt(address, init));
        expect(await sumAt(video)).toBe(await lastSum(pool));
        return seen;
      }),
    );
    expect(answers[1]).toEqual(answers[0]);
    const statuses = answers[0]?.map((answer) => (answer as { status: number }).status);
    expect(statuses).toEqual([200, 200, 304, 200, 404, 206, 206, 416, 204, 405]);
  });

  it.each(['custom', 'next'] as const)('%s: a file whose reader left is let go', async (way) => {
    const { server } = pools[way];
    const address = await makeMedium(pools[way], 'video bytes=100000000');
    const isOpen = () => openFiles(server.pid).some((file) => file.endsWith('.mp4'));
    const leave = new AbortController();
    await fetch(address, { signal: leave.signal });
    await eventually(isOpen);
    leave.abort();
    await eventually(() => !isOpen());
    expect((await fetch(address, { method: 'HEAD' })).status).toBe(200);
  });

  it.each(['custom', 'next'] as const)('%s: a form arrives', async (way) => {
    const { client, standIn } = pools[way];
    const picture = makePng('mine', 8, 8);
    const image = await toFile(picture, 'mine.png', { type: 'image/png' });
    expect((await client.images.edit({ prompt: 'Redder', image })).data).toHaveLength(1);
    const sha256 = createHash('sha256').update(picture).digest('hex');
    expect(standIn.sessions.turns.at(-1)?.files).toMatchObject([{ sha256 }]);
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
