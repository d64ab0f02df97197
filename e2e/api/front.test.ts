import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type Pool, question, startPool } from '../support/pool';

/** Sends bytes as they are, and gives what came back until the server closes or `isEnough`. */
function raw(url: string, bytes: string, isEnough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no whole answer, only: ${text}`));
    }, 20_000);
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      if (isEnough(text)) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

const hasHead = (text: string) => text.includes('\r\n\r\n');

describe('what anybody may send', () => {
  let pool: Pool;
  beforeAll(async () => {
    pool = await startPool();
    // Next makes itself at home on the server with the first page.
    expect((await fetch(pool.server.url)).status).toBe(200);
  });
  afterAll(() => pool.close());

  const head = (method: string, target: string, ...lines: string[]) =>
    [`${method} ${target} HTTP/1.1`, 'Host: 127.0.0.1', ...lines, '', ''].join('\r\n');
  const statusOf = async (bytes: string) =>
    Number((await raw(pool.server.url, bytes, hasHead)).slice(9, 12));

  it.each(['h2c', 'websocket'])('an upgrade to %s is an ordinary request', async (protocol) => {
    const upgrade = ['Connection: Upgrade', `Upgrade: ${protocol}`];
    expect(await statusOf(head('GET', '/health', ...upgrade))).toBe(200);
    expect(await statusOf(head('GET', '/nowhere', ...upgrade))).toBe(404);
  });

  it('a page takes GET and HEAD only, and a query of some length', async () => {
    expect(await statusOf(head('POST', '/', 'Content-Length: 9000000'))).toBe(405);
    expect(await statusOf(head('TRACE', '/'))).toBe(405);
    expect(await statusOf(head('GET', `/?${'a&'.repeat(5_000)}`))).toBe(414);
    expect(await statusOf(head('GET', '*'))).toBe(400);
    expect(await statusOf(head('OPTIONS', '*'))).toBe(204);
  });

  it('a whole URL as target is its path', async () => {
    expect(await statusOf(head('GET', `http://example.com/v1/models`))).toBe(401);
    expect(await statusOf(head('GET', `http://example.com/health`))).toBe(200);
  });

  it('a Host that is none is no fault of ours', async () => {
    const bytes = 'GET /v1/models HTTP/1.1\r\nHost: 1.2.3.4.5\r\n\r\n';
    expect(await statusOf(bytes)).toBe(401);
  });

  it('no line of the log is written by a caller', async () => {
    const forged = encodeURIComponent('/v1/a\n{"level":"info","msg":"FORGED"}\n');
    await fetch(`${pool.server.url}/_next/image?url=${forged}&w=64&q=75`);
    await pool.call('/v1/chat/completions', {
      model: 'x\n{"msg":"FORGED"}',
      messages: question('echo'),
    });
    const lines = pool.server.output().split('\n');
    expect(lines.filter((line) => line.startsWith('{"level":"info","msg":"FORGED"'))).toEqual([]);
    expect(lines.filter((line) => line.startsWith('{"msg":"FORGED"'))).toEqual([]);
  });

  it('a long model name is refused without filling the log or stopping the server', async () => {
    const before = pool.server.output().length;
    const model = 'eyJ-'.repeat(500_000);
    const response = await pool.call('/v1/chat/completions', { model, messages: question('echo') });
    expect(response.status).toBe(404);
    await eventually(() => pool.server.output().length > before);
    expect(pool.server.output().length - before).toBeLessThan(5_000);
  });

  it('a body that goes on after its answer is cut off', async () => {
    // The answer comes at once; `raw` ends when the server closes the connection.
    const text = await raw(
      pool.server.url,
      head('POST', '/v1/chat/completions', 'Content-Length: 100000000') + 'x'.repeat(1_000),
      () => false,
    );
    expect(text).toContain('401');
  }, 30_000);

  it('stops all the same', async () => {
    expect((await pool.server.stop()).exitCode).toBe(0);
  });
});
