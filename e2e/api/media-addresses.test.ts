import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeMedium } from '../support/media';
import { type Pool, startPool } from '../support/pool';

let pool: Pool;
let picture: URL;
let video: URL;

beforeAll(async () => {
  pool = await startPool();
  picture = new URL(await makeMedium(pool, 'image'));
  video = new URL(await makeMedium(pool, 'video'));
});
afterAll(() => pool.close());

/** A request whose path goes out as it is. */
function raw(path: string, method = 'GET', headers: Record<string, string> = {}) {
  const { hostname, port } = picture;
  return new Promise<{ status: number; headers: http.IncomingHttpHeaders; body: string }>(
    (resolve, reject) => {
      const request = http.request({ hostname, port, path, method, headers }, async (response) => {
        let body = '';
        for await (const piece of response.setEncoding('latin1')) body += piece;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
      request.on('error', reject).end();
    },
  );
}

describe('an address leads nowhere but to what was made', () => {
  it.each([
    '/image/../../pool.db',
    '/image/../pool.db',
    '/image/%2e%2e%2fpool.db',
    '/image/%2e%2e/%2e%2e/pool.db',
    '/image/..%5c..%5cpool.db',
    '/image//pool.db',
    '/image/',
    '/image',
    '/image/%00',
    '/image/%c0%ae%c0%ae/pool.db',
    '/image/pool.db%00.png',
    '/image/%',
    '/image/*.png',
    `/image/${'0'.repeat(32)}.png`,
    `/image/${'0'.repeat(200)}.png`,
    '/video/../image/',
    '/thumbnail/x.webp',
    '/media/image/',
  ])('%s', async (path) => {
    const { status, body } = await raw(path);
    expect([404, 400]).toContain(status);
    expect(body).not.toContain('SQLite format');
    expect(body).not.toContain(pool.server.dataDir);
  });

  it('that of another kind, of another spelling, of more', async () => {
    const name = picture.pathname.slice('/image/'.length);
    for (const path of [
      `/video/${name}`,
      video.pathname.replace('video', 'image'),
      `/image/${name.toUpperCase()}`,
      `/image/${name}%00`,
      `/image/${name}%20`,
      `/image/${name}.webp`,
      `/image/${name.replace('.png', '.jpg')}`,
      `/image/./${name}/x`,
      `/image/image/${name}`,
      `${video.pathname}?thumbnail`,
    ]) {
      expect([path, (await raw(path)).status]).toEqual([path, 404]);
    }
    expect((await raw('/image/../image/../../pool.db')).status).toBe(404);
  });

  it('and takes no orders', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const { status, headers } = await raw(picture.pathname, method);
      expect([status, headers.allow]).toEqual([405, 'GET, HEAD, OPTIONS']);
    }
    expect((await raw(picture.pathname)).status).toBe(200);
  });
});

describe('what is there', () => {
  it.each(['picture', 'video'])('%s: HEAD says what GET gives', async (kind) => {
    const { pathname } = kind === 'picture' ? picture : video;
    const [got, head] = [await raw(pathname), await raw(pathname, 'HEAD')];
    expect([got.status, head.status]).toEqual([200, 200]);
    expect(head.body).toBe('');
    const { date: _, 'x-request-id': __, ...rest } = got.headers;
    expect(head.headers).toMatchObject(rest);
    expect(Number(got.headers['content-length'])).toBe(got.body.length);
    expect(got.headers['content-type']).toBe(kind === 'picture' ? 'image/png' : 'video/mp4');
  });

  it('is not sent to whom has it', async () => {
    const { etag = '' } = (await raw(picture.pathname)).headers;
    for (const named of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const same = await raw(picture.pathname, 'GET', { 'if-none-match': named });
      expect([same.status, same.body, same.headers.etag]).toEqual([304, '', etag]);
    }
    const other = await raw(picture.pathname, 'GET', { 'if-none-match': '"other"' });
    expect(other.status).toBe(200);
  });

  it('goes on where it broke off, unless it is another', async () => {
    const { headers, body } = await raw(video.pathname);
    const range = 'bytes=100-';
    const same = await raw(video.pathname, 'GET', { range, 'if-range': headers.etag ?? '' });
    expect([same.status, same.body]).toEqual([206, body.slice(100)]);
    const other = await raw(video.pathname, 'GET', { range, 'if-range': '"other"' });
    expect([other.status, other.body.length]).toEqual([200, body.length]);
  });

  it('has a small picture of it', async () => {
    const { status, headers } = await raw(`${picture.pathname}?thumbnail`);
    expect([status, headers['content-type']]).toEqual([200, 'image/webp']);
    expect((await raw(`${picture.pathname}?thumbnail=../../pool.db`)).status).toBe(200);
  });
});
