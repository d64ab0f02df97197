import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { closeDispatchers, dispatcherFor } from '@/platform/http';
import { connectionTo } from '../../e2e/support/gemini-connection';
import { createSession, type GeminiConnection, type GeminiTurn, openAnswer } from './client';
import { isGeminiError } from './errors';
import type { GeminiEvent } from './events';

const identity = { configId: 'team-1', userAgent: 'test', accessToken: 'a.b.c' };
const turn: GeminiTurn = {
  sessionName: 'collections/x/sessions/42',
  prompt: 'hello',
  fileIds: ['7'],
  modelId: 'gemini-2.5-flash',
  tools: ['web_search'],
  languageCode: 'zh-CN',
  timeZone: 'Etc/UTC',
};

const piece = (text: string) => ({
  streamAssistResponse: {
    answer: { state: 'IN_PROGRESS', replies: [{ groundedContent: { content: { text } } }] },
  },
});
const last = { streamAssistResponse: { answer: { state: 'SUCCEEDED' } } };
const json = (value: unknown) => JSON.stringify(value, null, 2);
const end: GeminiEvent = { type: 'end', state: 'SUCCEEDED', sessionName: null };
const text = (value: string): GeminiEvent => ({ type: 'text', text: value });

let server: http.Server;
let agent: Agent;
/** Requests whose client is still there. */
let waiting: Set<http.ServerResponse>;
let handle: (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void;

beforeEach(async () => {
  waiting = new Set();
  server = http.createServer(async (request, response) => {
    waiting.add(response);
    response.on('close', () => waiting.delete(response));
    let body = '';
    for await (const chunk of request) body += chunk;
    handle(request, response, body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  agent = new Agent();
});

afterEach(async () => {
  await agent.destroy();
  server.closeAllConnections();
  server.close();
});

function connectionWith(timeouts: Partial<GeminiConnection['timeouts']> = {}): GeminiConnection {
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return connectionTo(base, agent, timeouts);
}

function open(timeouts: Partial<GeminiConnection['timeouts']> = {}, signal = never()) {
  return openAnswer(connectionWith(timeouts), identity, turn, signal);
}

/** All events, and what the iteration threw. */
async function read(answer: AsyncIterable<GeminiEvent[]>) {
  const events: GeminiEvent[] = [];
  try {
    for await (const batch of answer) {
      expect(batch.length).toBeGreaterThan(0);
      events.push(...batch);
    }
  } catch (error) {
    if (!isGeminiError(error)) throw error;
    return { events, fault: error.fault, reason: error.reason };
  }
  return { events };
}

function never(): AbortSignal {
  return new AbortController().signal;
}

async function until(condition: () => boolean): Promise<number> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > 2000) throw new Error('it never came about');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return performance.now() - startedAt;
}

describe('sessions', () => {
  test('sends the envelope with empty names and returns the name verbatim', async () => {
    const asked: unknown[] = [];
    handle = (request, response, body) => {
      asked.push(request.url, request.headers.authorization, JSON.parse(body));
      response.end(json({ session: { name: turn.sessionName } }));
    };
    expect(await createSession(connectionWith(), identity, never())).toBe(turn.sessionName);
    expect(asked).toEqual([
      '/v1alpha/locations/global/widgetCreateSession',
      'Bearer a.b.c',
      {
        configId: 'team-1',
        additionalParams: { token: '-' },
        createSessionRequest: { session: { name: '', displayName: '' } },
      },
    ]);
  });

  test.each([
    ['null', { fault: 'upstream', reason: 'malformed' }],
    ['<html>', { fault: 'upstream', reason: 'malformed' }],
    ['{"session":{"name":7}}', { fault: 'upstream', reason: 'malformed' }],
  ])('refuses the reply %s', async (body, expected) => {
    handle = (_request, response) => response.end(body);
    await expect(createSession(connectionWith(), identity, never())).rejects.toMatchObject(
      expected,
    );
  });

  test('classifies a bad status, and a silence', async () => {
    handle = (_request, response) => response.writeHead(401).end();
    await expect(createSession(connectionWith(), identity, never())).rejects.toMatchObject({
      fault: 'credential',
      status: 401,
    });
    handle = () => {};
    const impatient = createSession(connectionWith({ sessionMs: 30 }), identity, never());
    await expect(impatient).rejects.toMatchObject({ fault: 'upstream', reason: 'timeout' });
    await until(() => waiting.size === 0);
  });
});

describe('the question', () => {
  test('is sent as protocol 6 and 9.1 say', async () => {
    let headers: http.IncomingHttpHeaders = {};
    let sent = '';
    handle = (request, response, body) => {
      headers = request.headers;
      sent = body;
      response.end(json([last]));
    };
    await read(await open());
    expect(headers).toMatchObject({
      authorization: 'Bearer a.b.c',
      'content-type': 'application/json',
      accept: '*/*',
      'accept-language': 'zh-CN',
      origin: 'https://business.gemini.google',
      referer: 'https://business.gemini.google/',
      'user-agent': 'test',
      'x-server-timeout': '1800',
    });
    expect(headers).not.toHaveProperty('cookie');
    expect(JSON.parse(sent)).toEqual({
      configId: 'team-1',
      additionalParams: { token: '-' },
      streamAssistRequest: {
        session: turn.sessionName,
        query: { parts: [{ text: 'hello' }] },
        filter: '',
        fileIds: ['7'],
        answerGenerationMode: 'NORMAL',
        toolsSpec: { toolRegistry: 'default_tool_registry', webGroundingSpec: {} },
        languageCode: 'zh-CN',
        userMetadata: { timeZone: 'Etc/UTC' },
        assistSkippingMode: 'REQUEST_ASSIST',
        assistGenerationConfig: { modelId: 'gemini-2.5-flash' },
      },
    });
  });

  test('may use the tools of the turn', async () => {
    let sent = '';
    handle = (_request, response, body) => {
      sent = body;
      response.end(json([last]));
    };
    const drawing: GeminiTurn = { ...turn, tools: ['image'] };
    await read(await openAnswer(connectionWith(), identity, drawing, never()));
    expect(JSON.parse(sent).streamAssistRequest.toolsSpec).toEqual({ imageGenerationSpec: {} });
  });

  test('names no model when the server shall choose, and survives any language', async () => {
    let sent = '';
    handle = (_request, response, body) => {
      sent = body;
      response.end(json([last]));
    };
    const odd = { ...turn, modelId: null, languageCode: 'x\r\ny: 中' };
    await read(await openAnswer(connectionWith(), identity, odd, never()));
    expect(JSON.parse(sent).streamAssistRequest).not.toHaveProperty('assistGenerationConfig');
  });
});

describe('the answer', () => {
  test('arrives piece by piece, and the connection is used again', async () => {
    const seen = new Set<Socket>();
    handle = async (request, response) => {
      seen.add(request.socket);
      response.write(`[${json(piece('Grüße, '))}`);
      const rest = Buffer.from(`\n,\n${json(piece('世界'))}\n,\n${json(last)}\n]`);
      for (const byte of rest) {
        response.write(Uint8Array.of(byte));
        if (byte > 0x7f) await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    };
    for (let round = 0; round < 3; round++) {
      const answer = await open();
      expect(await read(answer)).toEqual({ events: [text('Grüße, '), text('世界'), end] });
      await until(() => waiting.size === 0);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(seen.size).toBe(1);
  });

  test('may be a file alone, which ends the wait for content', async () => {
    const file = { fileId: '9001', mimeType: 'image/png' };
    const replies = [{ groundedContent: { content: { file } } }];
    handle = (_request, response) => {
      response.write(`[${json({ streamAssistResponse: { answer: { replies } } })},`);
      setTimeout(() => response.end(`${json(last)}]`), 120);
    };
    expect(await read(await open({ firstContentMs: 60 }))).toEqual({
      events: [{ type: 'file', ...file }, end],
    });
  });

  test('is over with its last state, whatever follows', async () => {
    handle = (_request, response) => {
      response.write(`[${json(piece('a'))},${json(last)} rubbish`);
    };
    expect(await read(await open())).toEqual({ events: [text('a'), end] });
  });

  test('waits for a slow reader', async () => {
    const block = `${json(piece('x'.repeat(10_000)))},`;
    let written = 0;
    handle = (_request, response) => {
      response.write('[');
      const pump = (): void => {
        while (written++ < 2000) {
          if (!response.write(block)) return void response.once('drain', pump);
        }
        response.end(`${json(last)}]`);
      };
      pump();
    };
    const answer = await open();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(written).toBeLessThan(1500);
    const { events } = await read(answer);
    expect(events).toHaveLength(2000 + 1);
  });
});

test('content that came before its deadline counts, though it is parsed after it', async () => {
  let isAborted = false;
  const controller = { pause() {}, resume() {}, abort: () => (isAborted = true) };
  const bytes = (elements: string) => Buffer.from(elements);
  const dispatcher = {
    dispatch(_options: unknown, handler: Required<Dispatcher.DispatchHandler>) {
      const to = controller as unknown as Dispatcher.DispatchController;
      setTimeout(() => {
        handler.onRequestStart(to, {});
        handler.onResponseStart(to, 200, {}, 'OK');
        // As a parser that is resumed at the end of a turn: the timers come before the next end.
        setImmediate(() => {
          handler.onResponseData(to, bytes(`[${json(piece('a'))},`));
          const busyUntil = performance.now() + 60;
          while (performance.now() < busyUntil);
          setTimeout(() => {
            if (isAborted) return;
            handler.onResponseData(to, bytes(`${json(last)}]`));
            handler.onResponseEnd(to, {});
          }, 30);
        });
      }, 60);
      return true;
    },
  };
  const timeouts = { firstContentMs: 100, idleMs: 0 };
  const connection = connectionTo(
    'http://127.0.0.1:1',
    dispatcher as unknown as Dispatcher,
    timeouts,
  );
  const answer = await openAnswer(connection, identity, turn, never());
  expect(await read(answer)).toEqual({ events: [text('a'), end] });
});

describe('failures', () => {
  test.each([
    [429, '[{"error":{"code":429,"details":[{"reason":"LLM_OVERLOADED"}]}}]', 'overload'],
    [404, 'x'.repeat(200_000), 'state'],
    [302, '', 'upstream'],
  ])('status %i is classified', async (status, body, fault) => {
    handle = (_request, response) => response.writeHead(status, { 'retry-after': '3' }).end(body);
    await expect(open()).rejects.toMatchObject({ fault, status, retryAfterMs: 3000 });
  });

  test.each<[string, string, object]>([
    ['an error first', json([{ error: { code: 401 } }]), { events: [], fault: 'credential' }],
    [
      'an error after text, in one chunk',
      json([piece('a'), { error: { code: 500 } }, piece('b')]),
      { events: [text('a')], fault: 'upstream' },
    ],
    [
      'malformed after text, in one chunk',
      `[${json(piece('a'))},oops`,
      { events: [text('a')], fault: 'upstream', reason: 'malformed' },
    ],
    ['an open array', `[${json(piece('a'))}`, { events: [text('a')], fault: 'truncated' }],
    ['no last state', json([piece('a')]), { events: [text('a')], fault: 'truncated' }],
    ['an empty body', '', { events: [], fault: 'truncated' }],
    ['an empty array', '[]', { events: [], fault: 'upstream', reason: 'empty' }],
    ['a token only', json([{ uToken: 'x.y.z' }]), { events: [], fault: 'credential' }],
  ])('%s', async (_name, body, expected) => {
    handle = (_request, response) => response.end(body);
    expect(await read(await open())).toMatchObject(expected);
  });

  test('a connection lost within the answer truncates it', async () => {
    handle = (_request, response) => {
      response.write(`[${json(piece('a'))}`);
      setTimeout(() => response.destroy(), 20);
    };
    expect(await read(await open())).toMatchObject({ events: [text('a')], fault: 'truncated' });
  });

  test('a connection lost before the answer is the upstream', async () => {
    handle = (request) => request.socket.destroy();
    await expect(open()).rejects.toMatchObject({ fault: 'upstream', reason: 'connection_lost' });
  });

  test('a proxy that refuses, and one that is not there, are the egress', async () => {
    const proxy = http.createServer();
    proxy.on('connect', (_request, socket) => socket.end('HTTP/1.1 407 No\r\n\r\n'));
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const connection = { ...connectionWith(), dispatcher: dispatcherFor(proxyUrl, 1_000) };
    const ask = () => openAnswer(connection, identity, turn, never());
    await expect(ask()).rejects.toMatchObject({ fault: 'egress', reason: 'PROXY_AUTH' });
    await new Promise((resolve) => proxy.close(resolve));
    await expect(ask()).rejects.toMatchObject({ fault: 'egress', reason: 'PROXY_UNREACHABLE' });
    await closeDispatchers();
  });

  test('a header sent twice does no harm', async () => {
    handle = (_request, response) => {
      response.writeHead(429, ['retry-after', '1', 'retry-after', '2']).end();
    };
    await expect(open()).rejects.toMatchObject({ fault: 'quota', retryAfterMs: null });
  });

  test('silence before the head, before content and after it', async () => {
    const timeout = { fault: 'upstream', reason: 'timeout' };
    handle = () => {};
    await expect(open({ firstContentMs: 30 })).rejects.toMatchObject(timeout);

    handle = (_request, response) => response.write('[{"uToken":"x.y.z"},');
    expect(await read(await open({ firstContentMs: 50 }))).toMatchObject({
      events: [],
      ...timeout,
    });

    handle = (_request, response) => response.write(`[${json(piece('a'))},`);
    const stalled = await read(await open({ firstContentMs: 50, idleMs: 120 }));
    expect(stalled).toMatchObject({ events: [text('a')], ...timeout });
    await until(() => waiting.size === 0);
  });
});

describe('leaving', () => {
  test('an abort ends the upstream request within milliseconds, before and within the answer', async () => {
    handle = () => {};
    const before = new AbortController();
    const opening = open({}, before.signal);
    await until(() => waiting.size === 1);
    before.abort();
    await expect(opening).rejects.toMatchObject({ fault: 'client_left' });
    expect(await until(() => waiting.size === 0)).toBeLessThan(100);

    handle = (_request, response) => response.write(`[${json(piece('a'))},`);
    const within = new AbortController();
    const answer = await open({}, within.signal);
    setTimeout(() => within.abort(), 30);
    expect(await read(answer)).toMatchObject({ events: [text('a')], fault: 'client_left' });
    expect(await until(() => waiting.size === 0)).toBeLessThan(100);
  });

  test('an abort that came first sends nothing', async () => {
    await expect(open({}, AbortSignal.abort())).rejects.toMatchObject({ fault: 'client_left' });
    expect(waiting.size).toBe(0);
  });

  test('a reader that returns early ends the upstream request', async () => {
    handle = (_request, response) => response.write(`[${json(piece('a'))},`);
    for await (const batch of await open()) {
      expect(batch).toEqual([text('a')]);
      break;
    }
    expect(await until(() => waiting.size === 0)).toBeLessThan(100);
  });
});
