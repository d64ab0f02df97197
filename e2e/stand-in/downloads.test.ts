import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demoAccount } from './accounts';
import { clipOf, makeVideo } from './clip';
import { base64Pieces, inSlices, sha256Of } from './content';
import { makePng } from './png';
import { type StandIn, startStandIn } from './stand-in';
import { filesOf, inlineOf, sessionOf, TestClient, textOf } from './test-client';

let standIn: StandIn;
let client: TestClient;

beforeAll(async () => {
  standIn = await startStandIn();
  client = new TestClient(standIn, demoAccount(1));
});
beforeEach(() => standIn.reset());
afterAll(() => standIn.close());

const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
const sum = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** The first file of an answer: the full session name and the id. */
async function make(directive: string): Promise<[session: string, fileId: string]> {
  const elements = await client.elements(`[[${directive}]]`);
  return [sessionOf(elements), filesOf(elements)[0]?.fileId ?? ''];
}

describe('content', () => {
  test('in base64 and in slices is whole', () => {
    const pieces = [1, 2, 3, 0, 4, 5].map((length) => Buffer.alloc(length, length));
    const whole = Buffer.concat(pieces);
    expect(Buffer.concat([...base64Pieces(pieces)]).toString()).toBe(whole.toString('base64'));
    expect(Buffer.concat([...inSlices(pieces, 2)])).toEqual(whole);
  });

  test('of a picture is a PNG with a gradient, another one for every seed', async () => {
    const picture = makePng('1', 300, 200);
    const { data, info } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width: 300, height: 200, channels: 3 });
    expect(new Set(data).size).toBe(256);
    const { data: second } = await sharp(makePng('2', 300, 200))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(second.equals(data)).toBe(false);
  });

  test.each([{ type: 'mp4' }, { type: 'webm' }, { type: 'mp4', isIndexLast: true }] as const)(
    'of a padded video has the size that was asked: %j',
    async (options) => {
      const video = makeVideo('a', { ...options, bytes: 300_001 });
      const whole = Buffer.concat([...video.pieces()]);
      expect([video.bytes, whole.length]).toEqual([300_001, 300_001]);
      const clip = clipOf(options.type);
      expect(whole.subarray(0, 10_000)).toEqual(clip.subarray(0, 10_000));
      const isPaddedAtEnd = whole.subarray(-1000).equals(Buffer.alloc(1000));
      expect(isPaddedAtEnd).toBe(!('isIndexLast' in options));
      expect(await sha256Of(video)).toBe(sum(whole));
      expect(await sha256Of(makeVideo('b', { ...options, bytes: 300_001 }))).not.toBe(sum(whole));
      expect(makeVideo('a', { ...options, bytes: 0 }).bytes).toBeLessThan(100_000);
    },
  );
});

describe('generated files', () => {
  test('are downloaded from a second address', async () => {
    const elements = await client.elements('[[image n=2 width=20 height=10]]');
    const [first, second] = filesOf(elements);
    const reply = await client.download(sessionOf(elements), first?.fileId ?? '');
    expect(reply.headers.get('content-type')).toBe('image/png');
    const bytes = await bytesOf(reply);
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png', width: 20, height: 10 });
    const sums = standIn.sessions.turns[0]?.generated.map((file) => file.sha256);
    expect(sums?.[0]).toBe(sum(bytes));
    expect(sums?.[1]).not.toBe(sums?.[0]);
    expect(await standIn.files.sha256(second?.fileId ?? '')).toBe(sums?.[1]);
    expect(standIn.counts('demo-1')).toMatchObject({ downloadFile: 1, media: 1 });
  });

  test('may be videos of any size', async () => {
    const bytes = 20_000_003;
    const [session, fileId] = await make(`video bytes=${bytes}`);
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of (await client.download(session, fileId)).body ?? []) {
      hash.update(chunk);
      length += chunk.length;
    }
    expect(length).toBe(bytes);
    expect(standIn.files.all[0]?.sha256).toBeNull();
    expect(await standIn.files.sha256(fileId)).toBe(hash.digest('hex'));
    expect(await (await client.download(...(await make('video type=webm')))).blob()).toMatchObject({
      type: 'video/webm',
    });
  });

  test('come unasked when the tools allow nothing else', async () => {
    const toolsOnly = (tool: string) => ({ request: { toolsSpec: { [tool]: {} } } });
    const image = await client.elements('A kite', toolsOnly('imageGenerationSpec'));
    expect(filesOf(image)[0]?.mimeType).toBe('image/png');
    const video = await client.elements('A kite', toolsOnly('videoGenerationSpec'));
    expect(filesOf(video)[0]?.mimeType).toBe('video/mp4');
    const text = await client.elements('[[text value=ok]]', toolsOnly('videoGenerationSpec'));
    expect(textOf(text)).toBe('ok');
    expect(standIn.usage('demo-1')).toEqual({ text: 3, images: 1, videos: 1 });
  });

  test('come among words, or inside the answer', async () => {
    const mixed = await client.elements('[[text-and-image n=2]]');
    expect(textOf(mixed)).toBe('Before the pictures. After picture 1. After picture 2. The end.');
    expect(filesOf(mixed)).toHaveLength(2);
    const [inline, ...more] = inlineOf(await client.elements('[[inline-image width=9]]'));
    expect(more).toEqual([]);
    expect(inline?.mimeType).toBe('image/png');
    expect(await sharp(inline?.bytes).metadata()).toMatchObject({ width: 9, height: 9 });
    expect(standIn.usage('demo-1').images).toBe(3);
  });

  test('are kept to their session and account', async () => {
    const [session, fileId] = await make('image');
    const [foreign] = await make('image');
    const short = session.replace(/^.*global\//, '');
    expect((await client.askDownload(foreign, fileId)).status).toBe(404);
    expect((await client.askDownload(session.replace(/\d+/, '1'), fileId)).status).toBe(404);
    expect((await client.askDownload(short, fileId)).status).toBe(404);
    const other = new TestClient(standIn, demoAccount(2));
    expect((await other.askDownload(session, fileId)).status).toBe(403);
    expect((await client.askDownload(session, fileId, { bearer: 'x' })).status).toBe(401);
  });

  test('come by both forms, and not without alt=media', async () => {
    const [session, fileId] = await make('image only=download-prefix');
    expect((await client.askDownload(session, fileId)).status).toBe(404);
    expect((await client.askDownload(session, fileId, { prefix: '/download' })).status).toBe(302);
    const [second, id] = await make('image');
    const empty = await client.askDownload(second, id, { query: `fileId=${id}` });
    expect([empty.status, await empty.text()]).toEqual([200, '']);
  });
});

describe('a download', () => {
  test('that shows the bearer to the second address is refused there', async () => {
    const location = (await client.askDownload(...(await make('image')))).headers.get('location');
    const reply = await fetch(location ?? '', { headers: { authorization: 'Bearer x' } });
    expect(reply.status).toBe(400);
    expect(standIn.log.at(-1)).toMatchObject({
      ...{ call: 'media', account: 'demo-1', status: 400 },
      refusal: 'authorization was sent to the second address',
    });
    expect((await fetch(location ?? '')).status).toBe(200);
  });

  test('may come in base64, with the headers that say so or without', async () => {
    for (const directive of ['image base64=1', 'image base64-silent=1']) {
      const [session, fileId] = await make(directive);
      const reply = await client.download(session, fileId);
      const says = reply.headers.get('x-goog-safety-encoding');
      const type = reply.headers.get('x-goog-safety-content-type');
      const expected = directive.includes('silent') ? [null, null] : ['base64', 'image/png'];
      expect([says, type]).toEqual(expected);
      const bytes = Buffer.from(await reply.text(), 'base64');
      expect(sum(bytes)).toBe(await standIn.files.sha256(fileId));
    }
  });

  test('is not ready at first, or stays a stub', async () => {
    const file = await make('image not-ready=2');
    const statuses = [];
    for (let n = 0; n < 3; n += 1) statuses.push((await client.askDownload(...file)).status);
    expect(statuses).toEqual([404, 404, 302]);
    const stub = await client.download(...(await make('image stub=1')));
    expect([stub.status, await stub.json()]).toMatchObject([200, { fileId: expect.any(String) }]);
    const elsewhere = await client.askDownload(...(await make('image redirect=http://x.test/')));
    expect(elsewhere.headers.get('location')).toBe('http://x.test/');
  });

  test('is cut, and the next one is whole', async () => {
    const file = await make('video bytes=1000000 cut=700000 cuts=2');
    for (let n = 0; n < 2; n += 1) {
      await expect(client.download(...file).then(bytesOf)).rejects.toThrow();
    }
    expect(await bytesOf(await client.download(...file))).toHaveLength(1_000_000);
  });

  test('is slow, in pieces', async () => {
    let pieces = 0;
    for await (const _ of (await client.download(...(await make('image slow=20')))).body ?? []) {
      pieces += 1;
    }
    expect(pieces).toBeGreaterThan(3);
  });

  test('has any body', async () => {
    const reply = await client.download(...(await make('image body="<svg/>"')));
    expect(reply.headers.get('content-type')).toBe('image/png');
    expect(await reply.text()).toBe('<svg/>');
  });

  test('fails as an account is told', async () => {
    const file = await make('image');
    const scenarios = ['http status=401', 'file stub=1', 'file cut=10', 'file base64=1'];
    const statuses = [];
    for (const scenario of scenarios) {
      standIn.setFault('demo-1', { on: 'downloadFile', scenario, times: 1 });
      statuses.push((await client.askDownload(...file)).status);
    }
    expect(statuses).toEqual([401, 200, 302, 302]);
    standIn.setFault('demo-1', { on: 'downloadFile', scenario: 'file cut=10', times: 1 });
    await expect(client.download(...file).then(bytesOf)).rejects.toThrow();
    expect((await client.download(...file)).status).toBe(200);
    const unknown = { on: 'downloadFile' as const, scenario: 'image' };
    expect(() => standIn.setFault('*', unknown)).toThrow('downloadFile knows no scenario image');
  });
});

test('files are shown over HTTP too', async () => {
  const [session, fileId] = await make('image');
  const order = async (path: string) => (await fetch(`${standIn.url}/__control/${path}`)).json();
  expect(await order('files')).toEqual([
    expect.objectContaining({ ...{ fileId, session, account: 'demo-1', scenario: 'image' } }),
  ]);
  const sha256 = standIn.files.all[0]?.sha256;
  expect(await order(`files/sha256?fileId=${fileId}`)).toEqual({ sha256 });
});
