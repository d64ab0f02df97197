import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanFiles } from '@/features/files/clean-files';
import { closeDatabase } from '@/platform/db';
import { rssMb } from '../../scripts/bench/process-figures';
import { createKey } from '../support/commands';
import { eventually, type Pool, startPool } from '../support/pool';
import { startServer } from '../support/server';
import { takeRoom } from '../support/short-room';

const MIB = 1_048_576;
const NO_RETRIES = { maxRetries: 0 };

const filesFolder = ({ server }: Pool) => path.join(server.dataDir, 'files');

/** The names in the folder of files, without its mark; none if there is no folder. */
function inFolder(pool: Pool): string[] {
  if (!fs.existsSync(filesFolder(pool))) return [];
  return fs.readdirSync(filesFolder(pool)).filter((name) => !name.startsWith('.'));
}

async function send(pool: Pool, text: string | Buffer, name = 'a.txt', more: object = {}) {
  const file = await toFile(Buffer.from(text), name);
  return pool.client.files.create({ file, purpose: 'user_data', ...more });
}

async function contentOf({ client }: Pool, id: string): Promise<Buffer> {
  return Buffer.from(await (await client.files.content(id)).arrayBuffer());
}

const BOUNDARY = 'boundary';
const formHeaders = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
const head = (rest: string) => `--${BOUNDARY}\r\nContent-Disposition: form-data; ${rest}\r\n\r\n`;

/** A form, written by hand. */
function form(name: string, content: string, purpose = 'user_data'): string {
  return `${head(`name="file"; filename="${name}"`)}${content}\r\n${head('name="purpose"')}${purpose}\r\n--${BOUNDARY}--\r\n`;
}

function post(pool: Pool, body: BodyInit, headers: Record<string, string> = formHeaders) {
  return pool.call('/v1/files', undefined, { method: 'POST', body, headers });
}

/** Begins an upload that does not go on by itself. */
function beginUpload({ server, key }: Pool): http.ClientRequest {
  const request = http.request(`${server.url}/v1/files`, {
    method: 'POST',
    headers: { ...formHeaders, authorization: `Bearer ${key}` },
  });
  request.on('error', () => {});
  request.write(head('name="file"; filename="a"'));
  request.write(Buffer.alloc(MIB));
  return request;
}

const isPart = (name: string) => name.endsWith('.part');

describe('files', () => {
  let pool: Pool;
  let other: OpenAI;

  beforeAll(async () => {
    pool = await startPool({ accounts: 0, settings: { maxFileBytes: 64 * MIB } });
    const apiKey = await createKey(pool.server.dataDir, 'other');
    other = new OpenAI({ baseURL: `${pool.server.url}/v1`, apiKey, ...NO_RETRIES });
  });
  afterAll(() => pool.close());

  it('go in, are shown, come out byte by byte, and go', async () => {
    const { client } = pool;
    const bytes = randomBytes(200_000);
    const created = await send(pool, bytes, '报告 (最终) [2].bin', {
      expires_after: { anchor: 'created_at', seconds: 3_600 },
    });
    expect(created).toEqual({
      id: expect.stringMatching(/^file-\w{26}$/),
      object: 'file',
      bytes: 200_000,
      created_at: expect.any(Number),
      expires_at: created.created_at + 3_600,
      filename: '报告 (最终) [2].bin',
      purpose: 'user_data',
      status: 'processed',
    });
    expect(await client.files.retrieve(created.id)).toEqual(created);
    expect(await client.files.waitForProcessing(created.id)).toEqual(created);
    expect((await client.files.list()).data).toContainEqual(created);
    expect((await contentOf(pool, created.id)).equals(bytes)).toBe(true);
    expect(await client.files.delete(created.id)).toEqual({
      id: created.id,
      object: 'file',
      deleted: true,
    });
    const gone = { status: 404, type: 'invalid_request_error', param: 'id', code: null };
    await expect(client.files.retrieve(created.id)).rejects.toMatchObject(gone);
    await expect(client.files.content(created.id)).rejects.toMatchObject(gone);
    await expect(client.files.delete(created.id)).rejects.toMatchObject(gone);
    expect((await client.files.list()).data).toEqual([]);
    expect(inFolder(pool)).toEqual([]);
  });

  it('are given as attachments that no page can run', async () => {
    const { id } = await send(pool, '<script>alert(1)</script>', "a'b (c).html");
    for (const method of ['GET', 'HEAD']) {
      const response = await pool.call(`/v1/files/${id}/content`, undefined, { method });
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': 'text/html',
        'content-length': '25',
        'content-disposition': "attachment; filename*=UTF-8''a%27b%20%28c%29.html",
        'x-content-type-options': 'nosniff',
        'x-request-id': expect.any(String),
      });
      const text = await response.text();
      expect(text).toBe(method === 'GET' ? '<script>alert(1)</script>' : '');
    }
    const nothing = await send(pool, '', 'nothing.txt');
    expect(await contentOf(pool, nothing.id)).toHaveLength(0);
  });

  it('are listed page by page, in both orders and by purpose', async () => {
    const { client } = pool;
    const names: string[] = [];
    for (let number = 0; number < 7; number++) {
      names.push(`page-${number}`);
      await send(pool, 'x', `page-${number}`, { purpose: number % 2 ? 'vision' : 'evals' });
    }
    async function namesOf(query: OpenAI.FileListParams): Promise<string[]> {
      const found: string[] = [];
      for await (const { filename } of client.files.list(query)) found.push(filename);
      return found.filter((name) => name.startsWith('page-'));
    }
    const reversed = names.toReversed();
    expect(await namesOf({ limit: 2 })).toEqual(reversed);
    expect(await namesOf({ limit: 1, order: 'asc' })).toEqual(names);
    expect(await namesOf({ limit: 3, purpose: 'vision' })).toEqual(['page-5', 'page-3', 'page-1']);
    const page = await (await pool.call('/v1/files?limit=4&purpose=evals')).json();
    expect(page).toMatchObject({ object: 'list', has_more: false });
    expect(page.data).toHaveLength(4);
    expect(page).toMatchObject({ first_id: page.data[0].id, last_id: page.data[3].id });
    const none = await pool.call('/v1/files?purpose=assistants');
    expect(await none.json()).toEqual({
      object: 'list',
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  it('belong to the key that sent them', async () => {
    const { id } = await send(pool, 'mine');
    for (const call of ['retrieve', 'content', 'delete'] as const) {
      await expect(other.files[call](id)).rejects.toMatchObject({ status: 404, param: 'id' });
    }
    expect((await other.files.list()).data).toEqual([]);
    expect(await contentOf(pool, id)).toEqual(Buffer.from('mine'));
  });

  it.each([
    ['../../../pool.db', 'pool.db'],
    ['..\\\\..\\\\pool.db', 'pool.db'],
    ['a\0b.txt', 'ab.txt'],
    ['%0D%0Ax-header: 1', 'x-header: 1'],
    ['..', 'file'],
  ])('are not led astray by the name %j', async (name, filename) => {
    const response = await post(pool, form(name, 'x'));
    expect(response.status).toBe(200);
    const { id, ...more } = await response.json();
    expect(more).toMatchObject({ filename });
    expect(inFolder(pool)).toContain(id);
  });

  it.each(['..', '..%2F..%2Fpool.db', 'x%00', '%', 'file-%2e%2e', 'file-0', '%F0%9F%98%80'])(
    'have no id %s',
    async (id) => {
      for (const address of [`/v1/files/${id}`, `/v1/files/${id}/content`]) {
        // `fetch` would resolve the dots.
        const { status, body } = await rawGet(pool, address);
        expect(status).toBe(404);
        expect(JSON.parse(body).error).toMatchObject({ type: 'invalid_request_error' });
      }
    },
  );

  const sound = form('a', 'x');
  it.each<[string, string, Record<string, string>, string | null]>([
    ['nothing', '', formHeaders, null],
    ['no form', '{"purpose":"vision"}', { 'content-type': 'application/json' }, null],
    ['no type', 'x', {}, null],
    ['no boundary', sound, { 'content-type': 'multipart/form-data' }, null],
    ['another boundary', sound, { 'content-type': 'multipart/form-data; boundary=x' }, null],
    ['half a form', sound.slice(0, -60), formHeaders, null],
    ['no file', `${head('name="purpose"')}vision\r\n--${BOUNDARY}--`, formHeaders, 'file'],
    ['a text as file', sound.replace('; filename="a"', ''), formHeaders, 'file'],
    ['no purpose', sound.replace('"purpose"', '"other"'), formHeaders, 'purpose'],
    ['another purpose', form('a', 'x', 'other'), formHeaders, 'purpose'],
  ])('are not made of %s', async (_, body, headers, param) => {
    const before = inFolder(pool);
    const response = await post(pool, body, headers);
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({ type: 'invalid_request_error', param });
    expect(inFolder(pool)).toEqual(before);
  });

  it('may not be packed, nor listed by nonsense', async () => {
    expect((await post(pool, sound, { ...formHeaders, 'content-encoding': 'gzip' })).status).toBe(
      415,
    );
    for (const param of ['limit', 'order', 'after', 'purpose']) {
      const response = await pool.call(`/v1/files?${param}=0`);
      expect(response.status).toBe(400);
      expect((await response.json()).error).toMatchObject({ param });
    }
  });

  it('of 60 MB pass through without being held', async () => {
    const bytes = randomBytes(60_000_000);
    await send(pool, bytes.subarray(0, MIB));
    const beforeMb = rssMb(pool.server.pid);
    let mostMb = 0;
    const sampling = setInterval(() => {
      mostMb = Math.max(mostMb, rssMb(pool.server.pid));
    }, 10);
    const { id } = await send(pool, bytes);
    const content = await contentOf(pool, id);
    clearInterval(sampling);
    expect(content.equals(bytes)).toBe(true);
    expect(mostMb - beforeMb).toBeLessThan(64);
  });

  it('that are too large are refused, announced or not', async () => {
    const before = inFolder(pool);
    const tooLarge = Buffer.alloc(65 * MIB);
    await expect(send(pool, tooLarge)).rejects.toMatchObject({ status: 413 });
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(head('name="file"; filename="a"')));
      },
      pull(controller) {
        controller.enqueue(Buffer.alloc(MIB));
      },
    });
    const init = { method: 'POST', body, headers: formHeaders, duplex: 'half' };
    const response = await pool.call('/v1/files', undefined, init as RequestInit);
    expect(response.status).toBe(413);
    expect((await response.json()).error.type).toBe('invalid_request_error');
    await eventually(() => !inFolder(pool).some(isPart));
    expect(inFolder(pool)).toEqual(before);
  });

  it('that are left half sent leave nothing', async () => {
    const request = beginUpload(pool);
    await eventually(() => inFolder(pool).some(isPart));
    request.destroy();
    await eventually(() => !inFolder(pool).some(isPart));
    expect((await send(pool, 'x')).bytes).toBe(1);
  });
});

/** A GET whose path goes out as it is. */
function rawGet({ server, key }: Pool, address: string): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${key}` };
    const request = http.get({ hostname, port, path: address, headers }, async (response) => {
      let body = '';
      for await (const piece of response.setEncoding('utf8')) body += piece;
      resolve({ status: response.statusCode ?? 0, body });
    });
    request.on('error', reject);
  });
}

it('outlive a crash; an upload that it cuts off is cleaned away', async () => {
  const pool = await startPool({ accounts: 0 });
  const { dataDir } = pool.server;
  const kept = await send(pool, 'kept');
  beginUpload(pool);
  await eventually(() => inFolder(pool).some(isPart));
  await pool.server.kill();
  expect(inFolder(pool)).toHaveLength(2);

  process.env.DATA_DIR = dataDir;
  process.env.LOG_LEVEL = 'silent';
  const { signal } = new AbortController();
  const now = Date.now();
  expect(await cleanFiles(now, signal)).toMatchObject({ litter: 0 });
  const inTwoHours = await cleanFiles(now + 7_200_000, signal);
  expect(inTwoHours).toMatchObject({ expired: 0, litter: 1, missing: 0 });
  await closeDatabase();
  expect(inFolder(pool)).toEqual([kept.id]);

  const again = { ...pool, server: await startServer({ dataDir }) };
  const baseURL = `${again.server.url}/v1`;
  again.client = new OpenAI({ baseURL, apiKey: pool.key, ...NO_RETRIES });
  expect(await again.client.files.retrieve(kept.id)).toEqual(kept);
  expect(await contentOf(again, kept.id)).toEqual(Buffer.from('kept'));
  await again.server.kill();
  await pool.close();
});

describe('where room is short', () => {
  it('a full disk is told, and nothing stays', async (context) => {
    const pool = await startPool({ accounts: 0 });
    const room = takeRoom(filesFolder(pool), pool.server.pid);
    try {
      context.skip(room === null, 'neither a mount nor a limit is allowed here');
      const small = await send(pool, randomBytes(MIB));
      const full = { status: 507, type: 'server_error', code: 'storage_full' };
      await expect(send(pool, randomBytes(8 * MIB))).rejects.toMatchObject(full);
      expect(inFolder(pool)).toEqual([small.id]);
      expect(await contentOf(pool, (await send(pool, 'x')).id)).toEqual(Buffer.from('x'));
    } finally {
      await pool.close();
      room?.end();
    }
  });

  it('all files together are held to their limit', async () => {
    const pool = await startPool({ accounts: 0, settings: { maxFilesBytes: 2 * MIB } });
    const { id } = await send(pool, randomBytes(1.5 * MIB));
    const second = () => send(pool, randomBytes(MIB));
    await expect(second()).rejects.toMatchObject({ status: 507, code: 'storage_full' });
    expect(inFolder(pool)).toEqual([id]);
    await pool.client.files.delete(id);
    expect((await second()).bytes).toBe(MIB);
    await pool.close();
  });
});
