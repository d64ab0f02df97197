import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import sharp from 'sharp';
import { toNodeHandler } from 'srvx/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endpointFor } from '@/api/routes';
import { bucketUploadsDone } from '@/features/media/bucket-uploads';
import { cleanMedia } from '@/features/media/clean-media';
import { type Media, saveMedia } from '@/features/media/media';
import { mediaFile, mediaFolder } from '@/features/media/media-folder';
import { openDataFolder } from '@/features/settings/data-folder';
import { resetSettings, updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { Cancellation } from '@/platform/cancellation';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../e2e/support/data-folder';
import { type S3Server, startS3 } from '../../e2e/support/s3-server';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';
process.env.ALLOW_PRIVATE_URLS = '127.0.0.1';

const origin = { declaredType: null, modelId: 'm', accountId: 'a', apiKeyId: 'k' };
const FILM_BYTES = 8_000_000;
const filmContent = Buffer.alloc(FILM_BYTES, 'frames ');
Buffer.from('0000001866747970', 'hex').copy(filmContent);
filmContent.write('isom\0\0\x02\0isommp41', 8, 'latin1');

let server: Server;
let base: string;
let film: Media;
let picture: Media;

async function* pieces(content: Buffer) {
  yield content;
}

beforeAll(async () => {
  await openDataFolder();
  film = await saveMedia(pieces(filmContent), origin, new Cancellation());
  const png = sharp({ create: { width: 640, height: 640, channels: 3, background: '#c33' } }).png();
  picture = await saveMedia(pieces(await png.toBuffer()), origin, new Cancellation());
  // As in the server itself: an address that is not ours is Next's.
  server = createServer((request, response) => {
    const endpoint = endpointFor(request.url?.split('?')[0] ?? '');
    if (endpoint) (toNodeHandler(endpoint) as RequestListener)(request, response);
    else response.writeHead(418).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  stopCachedTables();
  await closeDatabase();
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(base + path, { method, headers });
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
const filmPath = () => `/video/${film.name}`;

describe('a medium', () => {
  it('is given whole, for ever, to any page, and runs nowhere', async () => {
    const response = await get(filmPath());
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'video/mp4',
      'content-length': String(FILM_BYTES),
      'content-disposition': 'inline',
      'accept-ranges': 'bytes',
      etag: `"${film.name}"`,
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; media-src 'self'; sandbox",
      'cross-origin-resource-policy': 'cross-origin',
      'access-control-allow-origin': '*',
    });
    expect(response.headers.has('content-range')).toBe(false);
    expect((await bytesOf(response)).equals(filmContent)).toBe(true);
  });

  it('is described by HEAD as by GET, also with a range', async () => {
    const response = await get(filmPath(), { range: 'bytes=0-9' }, 'HEAD');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-length')).toBe(String(FILM_BYTES));
    expect(await response.text()).toBe('');
  });

  it.each([
    ['bytes=0-99', 0, 99],
    ['bytes=100-', 100, FILM_BYTES - 1],
    ['bytes=-500', FILM_BYTES - 500, FILM_BYTES - 1],
    [`bytes=${FILM_BYTES - 1}-${FILM_BYTES + 5}`, FILM_BYTES - 1, FILM_BYTES - 1],
  ])('is given in part: %s', async (range, start, end) => {
    const response = await get(filmPath(), { range });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end}/${FILM_BYTES}`);
    expect(response.headers.get('content-length')).toBe(String(end - start + 1));
    const part = filmContent.subarray(start, end + 1);
    expect((await bytesOf(response)).equals(part)).toBe(true);
  });

  it('has no part beyond its end', async () => {
    const response = await get(filmPath(), { range: `bytes=${FILM_BYTES}-` });
    expect(response.status).toBe(416);
    expect(response.headers.get('content-range')).toBe(`bytes */${FILM_BYTES}`);
    expect(await response.text()).toBe('');
  });

  it('is given whole where the range does not count', async () => {
    for (const headers of [
      { range: 'bytes=0-1,5-6' },
      { range: 'lines=1-2' },
      { range: 'bytes=0-9', 'if-range': '"another"' },
      { range: 'bytes=0-9', 'if-range': 'Wed, 21 Oct 2026 07:28:00 GMT' },
    ]) {
      const response = await get(`/image/${picture.name}`, headers);
      expect(response.status).toBe(200);
      expect((await bytesOf(response)).length).toBe(picture.bytes);
    }
    const same = { range: 'bytes=0-9', 'if-range': `"${picture.name}"` };
    expect((await get(`/image/${picture.name}`, same)).status).toBe(206);
  });

  it('is not given again to who has it', async () => {
    const response = await get(filmPath(), {
      'if-none-match': `"x", W/"${film.name}"`,
      range: 'bytes=0-1',
    });
    expect(response.status).toBe(304);
    expect(response.headers.get('etag')).toBe(`"${film.name}"`);
    expect(await response.text()).toBe('');
  });

  it('has a thumbnail with an entity tag of its own; a video has none', async () => {
    const response = await get(`/image/${picture.name}?thumbnail`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('image/webp');
    expect(response.headers.get('etag')).toBe(`"${picture.name}-thumbnail"`);
    expect((await sharp(await bytesOf(response)).metadata()).width).toBe(320);
    expect((await get(`${filmPath()}?thumbnail`)).status).toBe(404);
  });
});

describe('another name', () => {
  it('is 404 in the same words, whatever is wrong with it', async () => {
    const hex = film.name.slice(0, 32);
    const paths = [
      `/image/${film.name}`,
      `/video/${'0'.repeat(32)}.mp4`,
      `/video/${hex}`,
      `/video/${film.name}/`,
      `/video/${film.name}%00`,
      `/video/%2e%2e%2fvideo%2f${film.name}`,
      `/video/..%2fvideo%2f${film.name}`,
      `/video/${film.name.toUpperCase()}`,
      '/video/a/b/c',
      '/image/%',
      '/image/x?thumbnail',
    ];
    for (const path of paths) {
      const response = await get(path);
      expect(response.status).toBe(404);
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(await response.json()).toEqual({ status: 'not found' });
    }
  });

  it('leads nowhere when a client does not tidy the path up', async () => {
    for (const target of ['/image/../pool.db', '/image/../../etc/passwd', '/video//etc/passwd']) {
      const status = await new Promise((resolve) => {
        httpRequest(base, { path: target }, (response) => {
          response.resume();
          resolve(response.statusCode);
        }).end();
      });
      expect(status).toBe(404);
    }
  });
});

it('other methods are refused, and a preflight is answered', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const response = await get(filmPath(), {}, method);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
  }
  const asked = { origin: 'https://page.test', 'access-control-request-headers': 'range' };
  const response = await get(filmPath(), asked, 'OPTIONS');
  expect(response.status).toBe(204);
  expect(response.headers.get('access-control-allow-headers')).toBe('range');
});

it('one that is being read is not cleaned away, and goes when its reader has left', async () => {
  const media = await saveMedia(pieces(filmContent), origin, new Cancellation());
  await updateSettings({ videoRetentionHours: 1 });
  const later = Date.now() + 2 * 3_600_000;
  const running = new AbortController().signal;
  const { hostname, port } = new URL(base);
  const socket = connect(Number(port), hostname);
  socket.write(`GET /video/${media.name} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  socket.pause();
  // The other film goes.
  expect(await cleanMedia(later, running)).toMatchObject({ expired: 1 });
  socket.destroy();
  await expect.poll(async () => (await cleanMedia(later, running)).expired).toBe(1);
  await resetSettings(['videoRetentionHours']);
  expect(readdirSync(mediaFolder()).sort()).toEqual(['image', 'thumbnail', 'video']);
});

describe('what only the bucket has', () => {
  let s3: S3Server;
  let media: Media;

  beforeAll(async () => {
    s3 = await startS3();
    await updateSettings({
      s3Endpoint: s3.endpoint,
      s3Bucket: s3.bucket,
      s3AccessKeyId: s3.accessKeyId,
      s3SecretAccessKey: s3.secretAccessKey,
    });
    media = await saveMedia(pieces(filmContent), origin, new Cancellation());
    await bucketUploadsDone();
    await rm(mediaFile('video', media.name));
  });

  it('is given whole and in part', async () => {
    const path = `/video/${media.name}`;
    const whole = await get(path);
    expect(whole.headers.get('content-length')).toBe(String(FILM_BYTES));
    expect((await bytesOf(whole)).equals(filmContent)).toBe(true);
    const part = await get(path, { range: 'bytes=-7' });
    expect(part.status).toBe(206);
    expect((await bytesOf(part)).equals(filmContent.subarray(-7))).toBe(true);
    expect((await get(path, {}, 'HEAD')).status).toBe(200);
  });

  it('is an error without details while the bucket is down', async () => {
    await s3.close();
    const response = await get(`/video/${media.name}`);
    expect(response.status).toBe(502);
    expect(await response.json()).toEqual({ status: 'failed' });
  });
});
