import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { rssMb } from '../../scripts/bench/process-figures';
import { startCfbed } from '../stand-in/cfbed';
import { ask } from '../support/caller';
import { type Pool, question, startPool } from '../support/pool';

const MIB = 1_048_576;
const SECRET = 'an-admin-secret-key';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let pool: Pool;

beforeAll(async () => {
  pool = await startPool({ settings: { sessionStockPerAccount: 0 } });
}, 120_000);
afterAll(() => pool.close());
beforeEach(() => pool.standIn.reset());

const draw = (order: string, more: object = {}) =>
  pool.client.chat.completions.create({
    model: 'gemini-enterprise',
    messages: question(order),
    ...more,
  }) as Promise<OpenAI.ChatCompletion>;

const contentOf = async (order: string, more: object = {}) =>
  String((await draw(order, more)).choices[0]?.message.content);

const linksIn = (content: string) => content.match(/https?:\/\/[^\s)]+/g) ?? [];

/** What is at an address, without a key. */
async function fetched(url: string) {
  const response = await fetch(url);
  return { response, bytes: Buffer.from(await response.arrayBuffer()) };
}

async function expectArrived(url: string, place = 0): Promise<void> {
  const { response, bytes } = await fetched(url);
  expect(response.status).toBe(200);
  expect(Number(response.headers.get('content-length'))).toBe(bytes.length);
  const made = pool.standIn.files.all.filter(({ origin }) => origin === 'AI_GENERATED');
  expect(sha256(bytes)).toBe(await pool.standIn.files.sha256(made[place]?.fileId ?? ''));
}

describe('a picture', () => {
  it('stands at the end of the answer as markdown, streamed or not', async () => {
    const content = await contentOf('text-and-image');
    expect(content).toMatch(
      /\S\n\n!\[image\]\(http:\/\/127\.0\.0\.1:\d+\/image\/[0-9a-f]{32}\.png\)$/,
    );
    await expectArrived(linksIn(content)[0] ?? '');
    const seen = await ask(pool, 'text-and-image', { stream: true });
    expect(seen).toMatchObject({ errors: [], isDone: true, finishReasons: ['stop'] });
    expect(seen.text).toMatch(/\S\n\n!\[image\]\(http.*\.png\)$/);
  });

  it('alone, several of one answer in their order, and each once', async () => {
    const content = await contentOf('image n=4 text=""');
    expect(content).toMatch(/^!\[image\]\(.*\)(\n\n!\[image\]\(.*\)){3}$/);
    const links = linksIn(content);
    for (const [place, link] of links.entries()) await expectArrived(link, place);
    expect(new Set(links).size).toBe(4);
  });

  it.each([
    ['is encoded and says so', 'image base64=1'],
    ['is encoded and does not say so', 'image base64-silent=1'],
    ['is announced as something else', 'image mime=application/octet-stream'],
    ['is listed as something else', 'image mime=application/octet-stream list-mime=text/plain'],
    ['has a hostile name', 'image name="../../../x\\u0000.png"'],
    ['is in no list', 'image unlisted=1'],
    ['has no list', 'image no-list=1'],
    ['is at the other address', 'image only=download-prefix'],
    ['is not ready at first', 'image not-ready=2'],
    ['breaks off at first', 'image cut=100'],
  ])(
    'that %s arrives',
    async (_, order) => {
      const content = await contentOf(order);
      await expectArrived(linksIn(content)[0] ?? '');
      expect(linksIn(content)[0]).toMatch(/\/image\/[0-9a-f]{32}\.png$/);
    },
    40_000,
  );

  it('that comes whole in the answer is kept, too', async () => {
    const { response, bytes } = await fetched(linksIn(await contentOf('inline-image'))[0] ?? '');
    expect(response.headers.get('content-type')).toBe('image/png');
    expect(bytes.toString('latin1', 1, 4)).toBe('PNG');
  });

  it('survives a token that is over', async () => {
    pool.standIn.setFault('*', { on: 'downloadFile', scenario: 'http status=401', times: 1 });
    await expectArrived(linksIn(await contentOf('image'))[0] ?? '');
  });

  it('is not had: another account’s, or a clear error, and nothing is left', async () => {
    const folder = path.join(pool.server.dataDir, 'media');
    const before = fs.readdirSync(folder, { recursive: true }).length;
    const seen = await ask(pool, 'image body="<svg/>"', { stream: false });
    expect(seen).toMatchObject({ status: 502, endsInError: true });
    expect(fs.readdirSync(folder, { recursive: true })).toHaveLength(before);
    const streamed = await ask(pool, 'text-and-image body="<svg/>"', { stream: true });
    expect(streamed).toMatchObject({ status: 200, endsInError: true, isDone: false });
  }, 60_000);
});

describe('a conversation', () => {
  it('goes on with the picture’s answer in the same session', async () => {
    const asked = question('text-and-image');
    const content = await contentOf('text-and-image');
    const next = { role: 'user' as const, content: 'And [[text value=then]]' };
    const messages = [...asked, { role: 'assistant' as const, content }, next];
    await pool.client.chat.completions.create({ model: 'gemini-enterprise', messages });
    expect(pool.standIn.sessions.all).toHaveLength(1);
    const parts = await draw('text-and-image', { image_format: 'array' });
    const array = parts.choices[0]?.message.content as unknown as { type: string }[];
    expect(array.map(({ type }) => type)).toEqual(['text', 'image_url']);
    await pool.call('/v1/chat/completions', {
      model: 'gemini-enterprise',
      messages: [...asked, { role: 'assistant', content: array }, next],
    });
    expect(pool.standIn.sessions.all.map(({ turnCount }) => turnCount)).toEqual([2, 2]);
  });

  it('takes a link of ours back as a picture, without fetching it', async () => {
    const [link = ''] = linksIn(await contentOf('image'));
    const content = [
      { type: 'text' as const, text: 'Redder' },
      { type: 'image_url' as const, image_url: { url: link } },
    ];
    const messages = [{ role: 'user' as const, content }];
    await pool.client.chat.completions.create({ model: 'gemini-enterprise', messages });
    const { bytes } = await fetched(link);
    expect(pool.standIn.sessions.turns.at(-1)?.files).toMatchObject([{ sha256: sha256(bytes) }]);
    const gone = [
      { ...content[1], image_url: { url: link.replace(/[0-9a-f]{8}\.png/, '00000000.png') } },
    ];
    const body = { model: 'gemini-enterprise', messages: [{ role: 'user', content: gone }] };
    expect((await pool.call('/v1/chat/completions', body)).status).toBe(400);
  });
});

describe('other forms, on demand', () => {
  it('the address alone', async () => {
    const content = await contentOf('text-and-image', { image_format: 'url' });
    expect(content).toMatch(/\n\nhttp:\/\/\S+\.png$/);
  });

  it('the bytes, in events below 64 kB', async () => {
    const content = await contentOf('image width=300', { image_format: 'base64' });
    const [, base64 = ''] = /data:image\/png;base64,([^)]+)\)/.exec(content) ?? [];
    const [made] = pool.standIn.files.all;
    expect(sha256(Buffer.from(base64, 'base64'))).toBe(made?.sha256);
    const response = await pool.call('/v1/chat/completions', {
      model: 'gemini-enterprise',
      messages: question('image width=300'),
      stream: true,
      image_format: 'base64',
    });
    const events = (await response.text()).split('\n\n');
    expect(Math.max(...events.map((event) => Buffer.byteLength(event)))).toBeLessThan(65_536);
    expect(events.at(-2)).toBe('data: [DONE]');
  });

  it('the address that the operator says', async () => {
    const own = await startPool({ accounts: 1, settings: { publicUrl: 'https://pool.example' } });
    try {
      const { choices } = await own.client.chat.completions.create({
        model: 'gemini-enterprise',
        messages: question('image'),
      });
      expect(choices[0]?.message.content).toContain('(https://pool.example/image/');
    } finally {
      await own.close();
    }
  }, 40_000);
});

describe('a video', () => {
  it('stands as its address on a line of its own, and answers ranges', async () => {
    const content = await contentOf('video');
    expect(content).toMatch(/\n\nhttp:\/\/\S+\/video\/[0-9a-f]{32}\.mp4$/);
    const [link = ''] = linksIn(content);
    await expectArrived(link);
    const { bytes } = await fetched(link);
    const range = async (value: string) => {
      const response = await fetch(link, { headers: { range: value } });
      return { response, bytes: Buffer.from(await response.arrayBuffer()) };
    };
    const part = await range('bytes=10-99');
    expect(part.response.status).toBe(206);
    expect(part.response.headers.get('content-range')).toBe(`bytes 10-99/${bytes.length}`);
    expect(part.bytes).toEqual(bytes.subarray(10, 100));
    expect((await range('bytes=-5')).bytes).toEqual(bytes.subarray(-5));
    expect((await range(`bytes=${bytes.length}-`)).response.status).toBe(416);
  });

  it('of 500 MB leaves memory alone, and is the same in the end', async () => {
    await contentOf('video bytes=1000000');
    const before = rssMb(pool.server.pid);
    let highest = before;
    const watch = setInterval(() => {
      highest = Math.max(highest, rssMb(pool.server.pid));
    }, 100);
    const content = await contentOf(`video bytes=${500 * MIB}`);
    const [link = ''] = linksIn(content);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of (await fetch(link)).body ?? []) {
      hash.update(piece);
      bytes += piece.length;
    }
    clearInterval(watch);
    expect(bytes).toBe(500 * MIB);
    const made = pool.standIn.files.all.at(-1);
    expect(hash.digest('hex')).toBe(await pool.standIn.files.sha256(made?.fileId ?? ''));
    expect(highest - before).toBeLessThan(64);
  }, 120_000);
});

describe('cfbed', () => {
  it('gets what is made, and its address is given; when it fails, ours', async () => {
    const cfbed = await startCfbed();
    const { port } = new URL(cfbed.url);
    const own = await startPool({
      settings: { cfbedTimeoutMs: 1_000 },
      env: {
        CFBED_UPLOAD_URL: cfbed.endpoint,
        CFBED_TOKEN: cfbed.token,
        ALLOW_PRIVATE_URLS: `127.0.0.1:${port}`,
        ADMIN_SECRET_KEY: SECRET,
      },
    });
    const test = (secret: string) =>
      fetch(`${own.server.url}/api/cfbed/test`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}` },
      });
    const link = async () => {
      const { choices } = await own.client.chat.completions.create({
        model: 'gemini-enterprise',
        messages: question('image'),
      });
      return linksIn(String(choices[0]?.message.content))[0];
    };
    try {
      expect(await link()).toMatch(`${cfbed.url}/file/`);
      expect(cfbed.uploads.map(({ sha256: sum }) => sum)).toEqual([
        own.standIn.files.all[0]?.sha256,
      ]);
      expect(await (await test(SECRET)).json()).toMatchObject({
        success: true,
        url: expect.stringContaining(`${cfbed.url}/file/`),
      });
      expect([(await test(own.key)).status, (await test('')).status]).toEqual([401, 401]);
      for (const fault of ['500', 'hang', 'html'] as const) {
        cfbed.fault = fault;
        expect(await (await test(SECRET)).json()).toMatchObject({ success: false });
        expect(await link()).toMatch(`${own.server.url}/image/`);
      }
      expect(own.server.output()).toContain('medium is kept on our disk alone');
      expect(own.server.output()).not.toContain(cfbed.token);
    } finally {
      await own.close();
      await cfbed.close();
    }
  }, 60_000);
});
