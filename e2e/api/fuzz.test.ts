import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Pool, question, startPool } from '../support/pool';

const CHAT = '/v1/chat/completions';

describe('a request body of any kind', () => {
  let pool: Pool;
  beforeAll(async () => {
    pool = await startPool({ settings: { faultRestMs: 0 } });
  });
  afterAll(() => pool.close());

  const send = async (body: string | Uint8Array<ArrayBuffer>) => {
    const response = await pool.call(CHAT, undefined, {
      method: 'POST',
      body,
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    return { status: response.status, text };
  };

  /** 200 with an answer, or a 4xx with an error object. */
  async function isAnswered(body: string | Uint8Array<ArrayBuffer>) {
    const { status, text } = await send(body);
    expect([200, 400, 404, 413]).toContain(status);
    if (status === 200) return;
    const { error } = JSON.parse(text);
    expect(error.message).toBeTypeOf('string');
    expect(error.message.length).toBeLessThan(1_000);
    expect(error.type).toBe('invalid_request_error');
  }

  it('bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        isAnswered(Uint8Array.from(bytes)),
      ),
      { numRuns: 100 },
    );
  });

  it('any JSON', async () => {
    await fc.assert(fc.asyncProperty(fc.json(), isAnswered), { numRuns: 100 });
  });

  it('a good request with one thing put out of place', async () => {
    const good = {
      model: 'gemini-enterprise',
      messages: [
        { role: 'system', content: 'x' },
        { role: 'user', content: [{ type: 'text', text: 'hello' }], name: 'n' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: 'y' },
      ],
      stream: false,
      stream_options: { include_usage: true },
      n: 1,
      stop: ['zzz'],
      max_tokens: 100,
      temperature: 1,
      top_p: 1,
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      metadata: {},
      logprobs: false,
    };
    const places = placesOf(good);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.jsonValue({ maxDepth: 3 }), (place, value) =>
        isAnswered(JSON.stringify(replaced(good, place, value))),
      ),
      { numRuns: 400 },
    );
  });

  it.each([
    [
      'deep nesting',
      `{"model":"gemini-enterprise","messages":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    ],
    [
      'deep nesting where nobody looks',
      `{"model":"x","messages":[],"x":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`,
    ],
    ['a long model name', JSON.stringify({ model: 'm'.repeat(5_000), messages: question('echo') })],
    ['__proto__', '{"__proto__":{"model":"gemini-enterprise"},"messages":[{"__proto__":null}]}'],
    [
      'lone surrogates',
      '{"model":"gemini-enterprise","messages":[{"role":"user","content":"\\ud800 x \\udfff"}]}',
    ],
    ['NUL', '{"model":"gemini-enterprise","messages":[{"role":"user","content":"a\\u0000b"}]}'],
    [
      'a byte order mark',
      '\ufeff{"model":"gemini-enterprise","messages":[{"role":"user","content":"a"}]}',
    ],
    [
      'a hundred thousand messages',
      JSON.stringify({
        model: 'gemini-enterprise',
        messages: Array(100_000).fill({ role: 'user', content: 'a' }),
      }),
    ],
    [
      'a hundred thousand wrong messages',
      JSON.stringify({ model: 'gemini-enterprise', messages: Array(100_000).fill({}) }),
    ],
    [
      '200 kB of one letter',
      JSON.stringify({
        model: 'gemini-enterprise',
        messages: [{ role: 'user', content: 'a'.repeat(200_000) }],
      }),
    ],
    [
      '20,000 Han characters',
      JSON.stringify({
        model: 'gemini-enterprise',
        messages: [{ role: 'user', content: '汉'.repeat(20_000) }],
      }),
    ],
  ])('%s', async (_, body) => {
    await isAnswered(body);
    expect((await fetch(`${pool.server.url}/health`)).status).toBe(200);
  });
});

describe('an upstream stream of any kind', () => {
  let pool: Pool;
  let upstream: Server;
  let spoil: (bytes: Buffer) => Buffer[] = (bytes) => [bytes];

  beforeAll(async () => {
    const stand = { url: '' };
    upstream = createServer(async (request, response) => {
      const reply = await fetch(`${stand.url}${request.url}`, {
        method: request.method ?? 'GET',
        headers: request.headers as Record<string, string>,
        ...(request.method === 'POST' && { body: await bodyOf(request) }),
        redirect: 'manual',
      });
      response.writeHead(reply.status, {
        'content-type': reply.headers.get('content-type') ?? 'text/plain',
      });
      const bytes = Buffer.from(await reply.arrayBuffer());
      for (const piece of request.url?.includes('StreamAssist') ? spoil(bytes) : [bytes]) {
        response.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => upstream.once('listening', resolve));
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    pool = await startPool({
      settings: {
        faultRestMs: 0,
        quotaRestMs: 0,
        overloadRestMs: 0,
        probeEveryMs: 0,
        idleTimeoutMs: 2_000,
      },
      env: {
        GEMINI_APP_URL: url,
        GEMINI_AUTH_URL: url,
        GEMINI_API_URL: url,
        GEMINI_VERIFY_URL: url,
      },
    });
    stand.url = pool.standIn.url;
  });
  afterAll(async () => {
    await pool?.close();
    upstream?.close();
  });

  it('a good answer is whole, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 }),
        async (cuts) => {
          spoil = (bytes) => cutAt(bytes, cuts);
          const response = await pool.call(CHAT, {
            model: 'gemini-enterprise',
            messages: question('thoughts n=1 value="你好 😀 \\"quoted\\" \\\\ and **bold**"'),
          });
          expect((await response.json()).choices[0].message.content).toBe(
            '你好 😀 "quoted" \\ and **bold**',
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('a damaged answer ends in a whole answer or in an error, never in a cut one that looks whole', async () => {
    const text = Array.from({ length: 12 }, (_, index) => `word${index}`).join(' ');
    await fc.assert(
      fc.asyncProperty(
        fc.nat(3_000),
        fc.uint8Array({ minLength: 1, maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        async (at, noise, cutsOff, stream) => {
          spoil = (bytes) => {
            const place = at % bytes.length;
            const rest = cutsOff ? Buffer.alloc(0) : bytes.subarray(place + noise.length);
            return [bytes.subarray(0, place), Buffer.from(noise), rest];
          };
          const response = await pool.call(
            CHAT,
            {
              model: 'gemini-enterprise',
              messages: question(`text value="${text}" size=5`),
              stream,
            },
            { signal: AbortSignal.timeout(15_000) },
          );
          const answer = await response.text();
          expect(response.status).not.toBe(500);
          if (cutsOff && response.status === 200) {
            // Noise alone can't make the end of the array: what was cut off must not look whole.
            expect(answer.includes('"finish_reason":"stop"')).toBe(false);
          }
        },
      ),
      { numRuns: 120 },
    );
    expect((await fetch(`${pool.server.url}/health`)).status).toBe(200);
    expect(pool.server.output()).not.toContain('"level":"error"');
  });
});

async function bodyOf(request: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function cutAt(bytes: Buffer, lengths: number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const end = start + (lengths[turn % lengths.length] ?? 1);
    pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces;
}

type Place = (string | number)[];

function placesOf(value: unknown, at: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return [at];
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  const inside = [...keys].flatMap((key) =>
    placesOf((value as Record<string | number, unknown>)[key], [...at, key]),
  );
  return at.length > 0 ? [at, ...inside] : inside;
}

function replaced(value: unknown, [key, ...rest]: Place, by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}
