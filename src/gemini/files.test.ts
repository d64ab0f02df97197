import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectionTo } from '../../e2e/support/gemini-connection';
import type { GeminiConnection } from './client';
import { downloadFile, listGeneratedFiles, type UploadContent, uploadFile } from './files';

type Handle = (request: http.IncomingMessage, response: http.ServerResponse) => void;

const identity = { configId: 'team-1', userAgent: 'test', accessToken: 'a.b.c' };
const session = 'projects/7/locations/global/collections/x/engines/e/sessions/42';

let upstream: http.Server;
/** Another host, which redirects lead to. */
let storage: http.Server;
let agent: Agent;
let handle: Handle;
let handleStorage: Handle;

beforeEach(async () => {
  upstream = http.createServer((request, response) => handle(request, response));
  storage = http.createServer((request, response) => handleStorage(request, response));
  await Promise.all([upstream, storage].map(listen));
  agent = new Agent();
});

afterEach(async () => {
  await agent.destroy();
  for (const server of [upstream, storage]) {
    server.closeAllConnections();
    server.close();
  }
});

function listen(server: http.Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

function urlOf(server: http.Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connectionWith(timeouts: Partial<GeminiConnection['timeouts']> = {}): GeminiConnection {
  return connectionTo(urlOf(upstream), agent, timeouts);
}

function never(): AbortSignal {
  return new AbortController().signal;
}

async function textOf(request: http.IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body;
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function until(condition: () => boolean): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > 3000) throw new Error('it never came about');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('uploads', () => {
  const accepted = JSON.stringify({ addContextFileResponse: { fileId: '9001' } });

  function contentOf(pieces: readonly (string | Error)[], bytes?: number): UploadContent {
    const known = pieces.filter((piece) => typeof piece === 'string').join('').length;
    return {
      bytes: bytes ?? known,
      async *open() {
        for (const piece of pieces) {
          if (piece instanceof Error) throw piece;
          yield Buffer.from(piece);
        }
      },
    };
  }

  function upload(content: UploadContent, signal = never(), uploadMs = 5000) {
    const file = { sessionName: 'sessions/42', fileName: 'ü "x"\n.txt', mimeType: 'text/plain' };
    return uploadFile(connectionWith({ uploadMs }), identity, { ...file, content }, signal);
  }

  test.each([[['hello']], [['h', 'el', 'lo w', 'orld']], [[]]])('sends %j', async (pieces) => {
    const asked: unknown[] = [];
    handle = async (request, response) => {
      const body = await textOf(request);
      const { headers } = request;
      asked.push(request.method, request.url, headers.authorization, headers['transfer-encoding']);
      asked.push(headers['content-length'] === String(Buffer.byteLength(body)), JSON.parse(body));
      response.end(accepted);
    };
    expect(await upload(contentOf(pieces))).toBe('9001');
    expect(asked).toEqual([
      'POST',
      '/v1alpha/locations/global/widgetAddContextFile',
      'Bearer a.b.c',
      undefined,
      true,
      {
        configId: 'team-1',
        additionalParams: { token: '-' },
        addContextFileRequest: {
          name: 'sessions/42',
          fileName: 'ü "x"\n.txt',
          mimeType: 'text/plain',
          fileContents: Buffer.from(pieces.join('')).toString('base64'),
        },
      },
    ]);
  });

  test('reads on only as fast as the upstream does', async () => {
    const pieceBytes = 64 * 1024;
    let opened = 0;
    const content: UploadContent = {
      bytes: 1000 * pieceBytes,
      async *open() {
        for (; opened < 1000; opened++) yield Buffer.alloc(pieceBytes);
      },
    };
    let read = (): void => {};
    handle = (request, response) => {
      read = () => request.resume().on('end', () => response.end(accepted));
    };
    const uploading = upload(content);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(opened).toBeLessThan(500);
    read();
    expect(await uploading).toBe('9001');
  });

  test.each([
    ['{"addContextFileResponse":{"fileId":42}}', '42'],
    ['{"addContextFileResponse":{"fileId":"a-b"},"uToken":"x"}', 'a-b'],
  ])('takes the id of %s', async (body, fileId) => {
    handle = (request, response) => request.resume().on('end', () => response.end(body));
    expect(await upload(contentOf(['x']))).toBe(fileId);
  });

  test.each<[number, string, object]>([
    [200, '{}', { fault: 'upstream', reason: 'malformed' }],
    [200, 'null', { fault: 'upstream', reason: 'malformed' }],
    [200, '<html>', { fault: 'upstream', reason: 'malformed' }],
    [200, '{"addContextFileResponse":{"fileId":""}}', { fault: 'upstream', reason: 'malformed' }],
    [
      400,
      '{"error":{"message":"Unsupported file type: a/b"}}',
      { fault: 'request', reason: 'UNSUPPORTED_FILE_TYPE' },
    ],
    [413, '', { fault: 'request', reason: 'FILE_TOO_LARGE' }],
    [401, '', { fault: 'credential' }],
    [404, '', { fault: 'state' }],
  ])('reads the reply %i %s', async (status, body, expected) => {
    handle = (request, response) =>
      request.resume().on('end', () => response.writeHead(status).end(body));
    await expect(upload(contentOf(['x']))).rejects.toMatchObject(expected);
  });

  test('hears a refusal that comes before the content is all there', async () => {
    let isClosed = false;
    const content: UploadContent = {
      bytes: 1000,
      async *open() {
        try {
          yield Buffer.alloc(10);
          await until(() => isClosed);
          yield Buffer.alloc(990);
        } finally {
          isClosed = true;
        }
      },
    };
    handle = (request, response) => {
      request.socket.on('close', () => {
        isClosed = true;
      });
      response.writeHead(401).end();
    };
    await expect(upload(content)).rejects.toMatchObject({ fault: 'credential', status: 401 });
    await until(() => isClosed);
  });

  test('throws what the content throws, and knows its length', async () => {
    handle = (request) => request.resume();
    const own = new Error('the disk is gone');
    await expect(upload(contentOf(['x', own], 9))).rejects.toBe(own);
    await expect(upload(contentOf(['abc'], 4))).rejects.toThrow('has 3 of its 4 bytes');
    await expect(upload(contentOf(['abc'], 2))).rejects.toThrow('has more than its 2 bytes');
  });

  test('a lost connection, a silence and an abort are told apart', async () => {
    const content = contentOf(['x']);
    handle = (request) => request.socket.destroy();
    await expect(upload(content)).rejects.toMatchObject({ reason: 'connection_lost' });
    handle = (request) => request.resume();
    await expect(upload(content, never(), 40)).rejects.toMatchObject({ reason: 'timeout' });
    const leaving = new AbortController();
    const uploading = upload(content, leaving.signal);
    leaving.abort();
    await expect(uploading).rejects.toMatchObject({ fault: 'client_left' });
  });
});

describe('the list of generated files', () => {
  const list = () => listGeneratedFiles(connectionWith(), identity, 'sessions/42', never());

  test('is asked for by origin, and odd entries do no harm', async () => {
    let sent: unknown;
    handle = async (request, response) => {
      sent = [request.url, JSON.parse(await textOf(request))];
      const good = { fileId: '1', mimeType: 'video/mp4', session, byteSize: '123', name: '../x' };
      const fileMetadata = [
        ...[good, null, 'x', {}, { fileId: null }, { fileId: '' }, { fileId: 2 ** 60 }],
        { fileId: 17, mimeType: 'x', session: 7, byteSize: -1 },
      ];
      response.end(JSON.stringify({ listSessionFileMetadataResponse: { fileMetadata } }));
    };
    expect(await list()).toEqual([
      { fileId: '1', mimeType: 'video/mp4', sessionName: session },
      { fileId: '17', mimeType: null, sessionName: null },
    ]);
    expect(sent).toEqual([
      '/v1alpha/locations/global/widgetListSessionFileMetadata',
      {
        configId: 'team-1',
        additionalParams: { token: '-' },
        listSessionFileMetadataRequest: {
          name: 'sessions/42',
          filter: 'file_origin_type = AI_GENERATED',
        },
      },
    ]);
  });

  test.each(['{}', '[]', 'null', '{"listSessionFileMetadataResponse":{"fileMetadata":{}}}'])(
    'is empty in %s',
    async (body) => {
      handle = (_request, response) => response.end(body);
      expect(await list()).toEqual([]);
    },
  );

  test('may be refused, or no JSON', async () => {
    handle = (_request, response) => response.writeHead(401).end();
    await expect(list()).rejects.toMatchObject({ fault: 'credential' });
    handle = (_request, response) => response.end('<html>');
    await expect(list()).rejects.toMatchObject({ fault: 'upstream', reason: 'malformed' });
  });
});

describe('downloads', () => {
  const png = Buffer.concat([
    Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
    Buffer.alloc(200_000, 'pixels'),
  ]);
  const pngBase64 = png.toString('base64');
  /** One character a byte: buffers are slow to compare. */
  const pngText = png.toString('latin1');

  function download(
    file: { sessionName?: string; fileId?: string } = {},
    timeouts: Partial<GeminiConnection['timeouts']> = {},
    signal = never(),
  ) {
    const named = { sessionName: session, fileId: '9001', ...file };
    return downloadFile(connectionWith(timeouts), identity, named, signal);
  }

  async function read(file: Parameters<typeof download>[0] = {}) {
    const { mimeType, content } = await download(file);
    return { mimeType, content: (await collect(content)).toString('latin1') };
  }

  const reply =
    (headers: http.OutgoingHttpHeaders, body: string | Buffer = ''): Handle =>
    (_request, response) =>
      response.writeHead(200, headers).end(body);

  test('ask for the bytes by session and id, and read them as they come', async () => {
    let asked: unknown;
    handle = (request, response) => {
      asked = [request.method, request.url, request.headers.authorization];
      response.writeHead(200, { 'content-type': 'image/png; x=y' });
      response.write(png.subarray(0, 5));
      setTimeout(() => response.end(png.subarray(5)), 20);
    };
    expect(await read()).toEqual({ mimeType: 'image/png', content: pngText });
    expect(asked).toEqual([
      'GET',
      `/v1alpha/${session}:downloadFile?fileId=9001&alt=media`,
      'Bearer a.b.c',
    ]);
  });

  test('put no name into the path as it is', async () => {
    let asked: string | undefined;
    handle = (request, response) => {
      asked = request.url;
      response.end(png);
    };
    await read({ sessionName: 'a/b?c#d é/s:x', fileId: '1&alt=json#/../' });
    expect(asked).toBe(
      '/v1alpha/a/b%3Fc%23d%20%C3%A9/s%3Ax:downloadFile?fileId=1%26alt%3Djson%23%2F..%2F&alt=media',
    );
    for (const sessionName of ['', '/', 'a//b', 'a/../b', './a', 'a/..', '\ud800']) {
      await expect(read({ sessionName })).rejects.toMatchObject({ reason: 'malformed' });
    }
    await expect(read({ fileId: '\udfff' })).rejects.toMatchObject({ reason: 'malformed' });
  });

  test('of a file that is missing try the second path, then say that it is not there yet', async () => {
    const asked: string[] = [];
    handle = (request, response) => {
      const path = request.url?.split('projects')[0] ?? '';
      asked.push(path);
      response.writeHead(path.startsWith('/download/') ? 200 : 404).end(png);
    };
    expect((await read()).content).toBe(pngText);
    expect(asked).toEqual(['/v1alpha/', '/download/v1alpha/']);
    handle = (_request, response) => response.writeHead(404).end('{"error":{"code":404}}');
    await expect(read()).rejects.toMatchObject({
      fault: 'upstream',
      reason: 'FILE_NOT_READY',
      status: 404,
    });
  });

  test('follow redirects, and tell other hosts nothing about the account', async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    handle = (request, response) => {
      seen.push(request.headers);
      const isFirst = request.url?.startsWith('/v1alpha/') ?? false;
      const location = isFirst ? '/again?a=%2F' : `${urlOf(storage)}/bytes`;
      response.writeHead(302, { location }).end('{"a":"stub"}');
    };
    handleStorage = (request, response) => {
      seen.push(request.headers);
      response.end(png);
    };
    expect((await read()).content).toBe(pngText);
    const [first, second, foreign] = seen;
    expect([first?.authorization, second?.authorization]).toEqual(['Bearer a.b.c', 'Bearer a.b.c']);
    expect(Object.keys(foreign ?? {}).sort()).toEqual(['accept', 'connection', 'host']);
  });

  test.each(['http://example.com/x', 'ftp://127.0.0.1/x', 'file:///etc/passwd', 'data:,x'])(
    'do not follow to %s',
    async (location) => {
      handle = (_request, response) => response.writeHead(302, { location }).end();
      await expect(read()).rejects.toMatchObject({
        fault: 'upstream',
        reason: 'forbidden_redirect',
      });
    },
  );

  test('come to an end of redirects', async () => {
    let asked = 0;
    handle = (_request, response) => {
      asked++;
      response.writeHead(307, { location: '/round' }).end();
    };
    await expect(read()).rejects.toMatchObject({ fault: 'upstream', reason: 'TOO_MANY_HOPS' });
    expect(asked).toBe(6);
    handle = (_request, response) => response.writeHead(302).end();
    await expect(read()).rejects.toMatchObject({ fault: 'upstream', status: 302 });
  });

  test('refused by another host are not the account’s fault', async () => {
    handle = (_request, response) =>
      response.writeHead(302, { location: `${urlOf(storage)}/x` }).end();
    handleStorage = (_request, response) => response.writeHead(401).end('Bearer a.b');
    await expect(read()).rejects.toMatchObject({ fault: 'upstream', status: 401 });
    handle = (_request, response) => response.writeHead(401).end();
    await expect(read()).rejects.toMatchObject({ fault: 'credential', status: 401 });
  });

  test('decode base64 by the header, else by how it begins', async () => {
    const safety = {
      'content-type': 'text/plain',
      'x-goog-safety-encoding': 'base64',
      'x-goog-safety-content-type': 'text/csv',
    };
    handle = reply(safety, Buffer.from('a,b\n{').toString('base64'));
    expect(await read()).toEqual({ mimeType: 'text/csv', content: 'a,b\n{' });
    handle = reply(safety, pngBase64);
    expect((await read()).content).toBe(pngText);
    handle = reply({ 'content-type': 'text/plain' }, pngBase64);
    expect(await read()).toEqual({ mimeType: 'image/png', content: pngText });
    handle = reply({}, 'plain');
    expect(await read()).toEqual({ mimeType: null, content: 'plain' });
  });

  test('without a file fail', async () => {
    const bodies: [http.OutgoingHttpHeaders, string][] = [
      [{}, ''],
      [{ 'x-goog-safety-encoding': 'base64' }, ''],
      [{ 'content-type': 'application/json; charset=UTF-8' }, '[{"name":"x"}]'],
      [{}, ' {"name":"x"}'],
    ];
    for (const [headers, body] of bodies) {
      handle = reply(headers, body);
      await expect(read()).rejects.toMatchObject({ fault: 'upstream', reason: 'NO_BYTES' });
    }
  });

  test.each<[string, http.OutgoingHttpHeaders]>([
    ['a known length', { 'content-length': 300_000 }],
    ['a known length of the last reply', { 'content-length': 300_000, connection: 'close' }],
    ['chunks', { 'transfer-encoding': 'chunked' }],
    ['chunks of the last reply', { 'transfer-encoding': 'chunked', connection: 'close' }],
  ])('cut off are truncated, with %s', async (_name, headers) => {
    for (const bytes of [3, 150_000]) {
      handle = (_request, response) => {
        response.writeHead(200, headers);
        response.write(png.subarray(0, bytes), () => setTimeout(() => response.destroy(), 20));
      };
      await expect(read()).rejects.toMatchObject({ fault: 'truncated' });
    }
  });

  test('cut off before their reader is there tell him so', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write(png.subarray(0, 500), () => setTimeout(() => response.destroy(), 20));
    };
    const { content } = await download();
    await new Promise((resolve) => setTimeout(resolve, 60));
    await expect(collect(content)).rejects.toMatchObject({ fault: 'truncated' });
  });

  test('wait for a slow reader, longer than the silence that they allow the upstream', async () => {
    const block = Buffer.alloc(64 * 1024, 'x');
    let written = 0;
    handle = (_request, response) => {
      const pump = (): void => {
        while (written++ < 500) {
          if (!response.write(block)) return void response.once('drain', pump);
        }
        response.end();
      };
      pump();
    };
    const { content } = await download({}, { downloadIdleMs: 150 });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(written).toBeLessThan(400);
    expect((await collect(content)).length).toBe(500 * block.length);
  });

  test('do not wait for ever: before the head, within the body, in all', async () => {
    const timeout = { fault: 'upstream', reason: 'timeout' };
    handle = () => {};
    await expect(download({}, { downloadIdleMs: 50 })).rejects.toMatchObject(timeout);
    handle = (_request, response) => response.write(png.subarray(0, 100));
    const silent = await download({}, { downloadIdleMs: 50 });
    await expect(collect(silent.content)).rejects.toMatchObject(timeout);
    const long = await download({}, { downloadMs: 200 });
    await expect(collect(long.content)).rejects.toMatchObject(timeout);
  });

  test('end at once when their reader leaves or the signal fires', async () => {
    let open = 0;
    handle = (_request, response) => {
      open++;
      response.on('close', () => open--);
      response.write(png);
    };
    const left = await download();
    for await (const piece of left.content) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await until(() => open === 0);

    const leaving = new AbortController();
    const aborted = await download({}, {}, leaving.signal);
    leaving.abort();
    await expect(collect(aborted.content)).rejects.toMatchObject({ fault: 'client_left' });
    await until(() => open === 0);
  });
});
