import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makePng } from '../stand-in/png';
import { createKey } from '../support/commands';
import { type Pool, startPool } from '../support/pool';

type Part = OpenAI.ChatCompletionContentPart;
type Message = OpenAI.ChatCompletionMessageParam;

const picture = makePng('cat', 8, 8);
const pdf = Buffer.concat([Buffer.from('%PDF-1.7\n'), randomBytes(20_000)]);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const dataUrl = (bytes: Buffer, type: string) => `data:${type};base64,${bytes.toString('base64')}`;
const text = (value: string): Part => ({ type: 'text', text: value });
const imageOf = (url: string): Part => ({ type: 'image_url', image_url: { url } });
const user = (...content: Part[]): Message => ({ role: 'user', content });

/** A web server of somebody's. */
const paths: Record<string, (response: http.ServerResponse) => void> = {
  '/cat.png': (response) => response.setHeader('content-type', 'image/png').end(picture),
  '/untold.bin': (response) => response.end(picture),
  '/page': (response) => response.setHeader('content-type', 'image/png').end('<html>'),
  '/gone': (response) => response.writeHead(404).end(),
  '/moved': (response) => response.writeHead(302, { location: '/cat.png' }).end(),
  '/inside': (response) =>
    response.writeHead(302, { location: 'http://127.0.0.2:1/cat.png' }).end(),
  '/large': (response) => response.end(Buffer.alloc(1_100_000)),
  '/slow': (response) => {
    response.write('x');
  },
};
const fetched: string[] = [];
const web = http.createServer((request, response) => {
  fetched.push(request.url ?? '');
  const serve = paths[request.url ?? ''];
  if (serve) serve(response);
  else response.writeHead(404).end();
});

let pool: Pool;
let site: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const { port } = web.address() as AddressInfo;
  site = `http://127.0.0.1:${port}`;
  pool = await startPool({
    settings: {
      sessionStockPerAccount: 0,
      maxRemoteFileBytes: 1_000_000,
      remoteFileTimeoutMs: 1_500,
    },
    env: { ALLOW_PRIVATE_URLS: `127.0.0.1:${port}` },
  });
}, 120_000);
afterAll(async () => {
  await pool.close();
  web.close();
  web.closeAllConnections();
});
beforeEach(() => {
  pool.standIn.reset();
  fetched.length = 0;
});

const ask = (messages: Message[], more: object = {}) =>
  pool.client.chat.completions.create({ model: 'gemini-enterprise', messages, ...more });

/** The files that the last question named upstream. */
const arrived = () => pool.standIn.sessions.turns.at(-1)?.files ?? [];

describe('a file arrives byte for byte', () => {
  it.each([
    ['a data URL', () => imageOf(dataUrl(picture, 'image/png'))],
    ['an address', () => imageOf(`${site}/cat.png`)],
    ['an address that redirects', () => imageOf(`${site}/moved`)],
    ['an address without a type', () => imageOf(`${site}/untold.bin`)],
    ['an older part with data', () => ({ type: 'image', data: picture.toString('base64') })],
  ])('as %s', async (_, part) => {
    await ask([user(text('Look'), part() as Part)]);
    expect(arrived()).toMatchObject([{ sha256: sha256(picture), mimeType: 'image/png' }]);
    expect(pool.standIn.sessions.turns.at(-1)?.prompt).toBe('Look');
  });

  it('as bare base64, as a data URL and with its name', async () => {
    for (const file_data of [pdf.toString('base64'), dataUrl(pdf, 'application/pdf')]) {
      const file = { file_data, filename: '报告 (1).pdf' };
      await ask([user(text('Read'), { type: 'file', file })]);
      expect(arrived()).toMatchObject([
        { sha256: sha256(pdf), mimeType: 'application/pdf', fileName: '报告 (1).pdf' },
      ]);
    }
  });

  it('as sound', async () => {
    const wav = Buffer.concat([Buffer.from('RIFF\x24\0\0\0WAVEfmt '), randomBytes(100)]);
    const input_audio = { data: wav.toString('base64'), format: 'wav' as const };
    await ask([user(text('Listen'), { type: 'input_audio', input_audio })]);
    expect(arrived()).toMatchObject([{ sha256: sha256(wav) }]);
  });

  it('in the older prompts', async () => {
    const files = [{ data: dataUrl(picture, 'image/png'), type: 'image' }];
    const prompts = [{ role: 'user', text: 'Look', files }];
    const body = { model: 'gemini-enterprise', prompts };
    expect((await pool.call('/v1/chat/completions', body)).status).toBe(200);
    expect(arrived()).toMatchObject([{ sha256: sha256(picture) }]);
  });

  it('as an uploaded file, on whatever account, and again when that one dies', async () => {
    const large = randomBytes(9_000_000);
    const { id } = await pool.client.files.create({
      file: await toFile(large, 'large.bin'),
      purpose: 'user_data',
    });
    const part: Part = { type: 'file', file: { file_id: id } };
    await ask([user(text('Read'), part)]);
    const [first] = pool.standIn.sessions.turns;
    expect(first?.files).toMatchObject([{ sha256: sha256(large), fileName: 'large.bin' }]);
    pool.standIn.setFault(first?.account ?? '', {
      on: 'streamAssist',
      scenario: 'http status=500',
    });
    const accounts = new Set<string>();
    for (let number = 0; number < 3; number += 1) {
      await ask([user(text(`Again ${number}`), part)]);
      accounts.add(pool.standIn.sessions.turns.at(-1)?.account ?? '');
      expect(arrived()).toMatchObject([{ sha256: sha256(large) }]);
    }
    expect([...accounts]).not.toContain(first?.account);
    expect(accounts.size).toBe(2);
    await pool.client.files.delete(id);
    await expect(ask([user(text('Gone'), part)])).rejects.toMatchObject({
      status: 404,
      param: 'messages[0].content[1].file',
    });
  }, 60_000);
});

describe('in a conversation', () => {
  it('stays with its session, goes up once, and up again with all others elsewhere', async () => {
    const first = user(text('One'), imageOf(`${site}/cat.png`));
    const answer = (await ask([first])).choices[0]?.message.content ?? '';
    const second = [first, { role: 'assistant' as const, content: answer }, user(text('Two'))];
    await ask(second);
    expect(pool.standIn.sessions.all).toHaveLength(1);
    expect(arrived()).toEqual([]);
    expect(fetched).toEqual(['/cat.png']);
    const named = [
      ...second.slice(0, 2),
      user(
        text('Again the same'),
        imageOf(`${site}/cat.png`),
        imageOf(dataUrl(picture, 'image/png')),
      ),
    ];
    pool.standIn.sessions.clear();
    await ask(named);
    expect(arrived().map(({ sha256: sum }) => sum)).toEqual([sha256(picture), sha256(picture)]);
    expect(pool.standIn.sessions.turns.at(-1)?.prompt).toMatch(
      /<user files="cat.png">\nOne.*<user files="cat.png, image.png">\nAgain the same/s,
    );
  });

  it('two of parallel requests never mix', async () => {
    const all = Array.from({ length: 20 }, (_, number) => makePng(`${number}`, 4, 4));
    await Promise.all(
      all.map((bytes, number) =>
        ask([user(text(`Picture ${number}.`), imageOf(dataUrl(bytes, 'image/png')))]),
      ),
    );
    for (const { prompt, files } of pool.standIn.sessions.turns) {
      const number = Number(/\d+/.exec(prompt)?.[0]);
      expect(files.map((file) => file.sha256)).toEqual([sha256(all[number] ?? Buffer.alloc(0))]);
    }
    expect(pool.standIn.sessions.turns).toHaveLength(20);
  });

  it('an upload that fails at first is another account’s', async () => {
    pool.standIn.setFault('demo-1', { on: 'addContextFile', scenario: 'http status=500' });
    pool.standIn.setFault('demo-2', { on: 'addContextFile', scenario: 'reset-before' });
    await ask([user(text('Look'), imageOf(dataUrl(picture, 'image/png')))]);
    expect(arrived()).toMatchObject([{ sha256: sha256(picture) }]);
  });
});

describe('what can not be used is refused, with its place', () => {
  it.each([
    ['another type than a picture', () => imageOf(`${site}/page`), 'failed_to_download_image'],
    ['no such page', () => imageOf(`${site}/gone`), 'failed_to_download_image'],
    ['a redirect inside', () => imageOf(`${site}/inside`), 'failed_to_download_image'],
    ['too much', () => imageOf(`${site}/large`), 'failed_to_download_image'],
    ['too slow', () => imageOf(`${site}/slow`), 'failed_to_download_image'],
    ['this machine', () => imageOf('http://127.0.0.1:9/cat.png'), 'failed_to_download_image'],
    ['this machine, as a number', () => imageOf('http://2130706433/'), 'failed_to_download_image'],
    ['this machine, in hex', () => imageOf('http://0x7f.1/'), 'failed_to_download_image'],
    ['this machine, mapped', () => imageOf('http://[::ffff:7f00:1]/'), 'failed_to_download_image'],
    ['metadata', () => imageOf('http://169.254.169.254/latest'), 'failed_to_download_image'],
    ['a private net', () => imageOf('http://10.0.0.1./'), 'failed_to_download_image'],
    ['no host at all', () => imageOf('http://nowhere.invalid/'), 'failed_to_download_image'],
    ['another scheme', () => imageOf('ftp://example.com/a.png'), 'invalid_image_url'],
    ['broken base64', () => imageOf('data:image/png;base64,%%%'), 'invalid_base64_image'],
  ])('%s', async (_, part, code) => {
    const failure = ask([user(text('Look'), part())]);
    await expect(failure).rejects.toMatchObject({
      status: 400,
      code,
      param: 'messages[0].content[1].image_url',
    });
    expect(pool.standIn.counts('demo-1').streamAssist ?? 0).toBe(0);
  });

  it('a file of another key, and one that is not there', async () => {
    const { id } = await pool.client.files.create({
      file: await toFile(picture, 'mine.png'),
      purpose: 'vision',
    });
    const other = pool.client.withOptions({
      apiKey: await createKey(pool.server.dataDir, 'other'),
    });
    for (const [client, file_id] of [
      [other, id],
      [pool.client, 'file-none'],
    ] as const) {
      const messages = [user(text('Look'), { type: 'file', file: { file_id } })];
      const failure = client.chat.completions.create({ model: 'gemini-enterprise', messages });
      await expect(failure).rejects.toMatchObject({ status: 404 });
    }
  });

  it('more files than anybody needs, be it the same one', async () => {
    const { id } = await pool.client.files.create({
      file: await toFile(picture, 'one.png'),
      purpose: 'vision',
    });
    const same: Part = { type: 'file', file: { file_id: id } };
    await ask([user(...Array.from({ length: 2_000 }, () => same))]);
    expect(arrived()).toHaveLength(1);
    const tooMany = { status: 400, code: 'too_many_files' };
    const mentions = Array.from({ length: 2_001 }, () => same);
    await expect(ask([user(...mentions)])).rejects.toMatchObject(tooMany);
    const others = Array.from({ length: 101 }, (_, number) =>
      imageOf(dataUrl(makePng(`${number}`, 2, 2), 'image/png')),
    );
    await expect(ask([user(...others)])).rejects.toMatchObject(tooMany);
  });

  it('a type that the upstream does not take; no account rests for it', async () => {
    const rar = Buffer.from('526172211a0700', 'hex');
    const file = { file_data: rar.toString('base64'), filename: 'a.rar' };
    await expect(ask([user(text('Read'), { type: 'file', file })])).rejects.toMatchObject({
      status: 400,
      code: 'invalid_file',
      param: 'messages[0].content[1].file',
    });
    const uploads = pool.standIn.log.filter(({ call }) => call === 'addContextFile');
    expect(uploads).toHaveLength(1);
    await ask([user(text('Hello'))]);
  });
});

describe('a prompt that is too long, as a file', () => {
  it('goes up whole, and the last message is asked', async () => {
    const own = await startPool({ settings: { promptTooLong: 'attach' } });
    try {
      own.standIn.promptLimitCharacters = 50_000;
      const long = `${'word '.repeat(40_000)}end`;
      const { choices } = await own.client.chat.completions.create({
        model: 'gemini-enterprise',
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: long },
          { role: 'assistant', content: 'Well.' },
          { role: 'user', content: 'And now? [[text value=Yes]]' },
        ],
      });
      expect(choices[0]?.message.content).toBe('Yes');
      const turn = own.standIn.sessions.turns.at(-1);
      expect(turn?.prompt).toMatch(/conversation\.txt.*And now\? \[\[text value=Yes\]\]$/s);
      const [file] = own.standIn.files.all;
      const content = Buffer.concat([...(file?.content?.pieces() ?? [])]).toString();
      expect(content).toContain(long);
      expect(content).toMatch(/^<system>\nBe brief\./);
      expect(content).toContain('<assistant>\nWell.');
    } finally {
      await own.close();
    }
  }, 60_000);
});
