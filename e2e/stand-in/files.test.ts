import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demoAccount } from './accounts';
import { type StandIn, startStandIn } from './stand-in';
import { filesOf, sessionOf, TestClient, textOf } from './test-client';

let standIn: StandIn;
let client: TestClient;
let other: TestClient;

beforeAll(async () => {
  standIn = await startStandIn();
  client = new TestClient(standIn, demoAccount(1));
  other = new TestClient(standIn, demoAccount(2));
});
beforeEach(() => standIn.reset());
afterAll(() => standIn.close());

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const hello = Buffer.from('Grüße 你好');

describe('an upload', () => {
  test('is remembered to the byte, and a question in its session may name it', async () => {
    const session = await client.createSession();
    const reply = await client.upload(session, hello, { fileName: 'ä b.txt' });
    expect(await reply.json()).toEqual({
      addContextFileResponse: {
        fileId: expect.stringMatching(/^\d+$/),
        session: expect.stringMatching(/^projects\/\d+\/locations\/global\/collections/),
        tokenCount: '4',
      },
      uToken: expect.any(String),
    });
    const [file] = standIn.files.all;
    expect(file).toMatchObject({ fileName: 'ä b.txt', mimeType: 'text/plain', bytes: 14 });
    expect(Buffer.concat([...(file?.content?.pieces() ?? [])])).toEqual(hello);
    const fileIds = [file?.fileId];
    const elements = await client.elements('[[files]]', { session, request: { fileIds } });
    expect(textOf(elements)).toBe(`ä b.txt, text/plain, 14, ${sha256(hello)}`);
    const echo = await client.elements('Read it. [[echo]]', { session, request: { fileIds } });
    expect(textOf(echo)).toContain('You sent: ä b.txt');
    const remembered = { fileName: 'ä b.txt', sha256: sha256(hello), bytes: 14 };
    expect(standIn.sessions.turns).toMatchObject([
      { files: [remembered] },
      { files: [remembered] },
    ]);
    expect(standIn.counts('demo-1')).toMatchObject({ addContextFile: 1 });
  });

  test('of 80 MB is taken, but not kept', async () => {
    const bytes = randomBytes(80 * 1024 * 1024);
    await client.upload(await client.createSession(), bytes, { mimeType: 'application/pdf' });
    const [file] = standIn.files.all;
    expect(file).toMatchObject({ bytes: bytes.length, sha256: sha256(bytes), content: null });
    expect(standIn.log.at(-1)).toMatchObject({ call: 'addContextFile', bodyText: null });
  });

  test.each([
    [{ fileContents: 'YQ' }, 'Base64'],
    [{ fileContents: 'YQ=a' }, 'Base64'],
    [{ fileContents: '_-__' }, 'Base64'],
    [{ fileContents: 'Y Q=' }, 'Base64'],
    [{ fileContents: '' }, 'empty'],
    [{ fileContents: undefined }, 'empty'],
    [{ mimeType: 'application/x-7z-compressed' }, 'Unsupported file type: application/x-7z-compr'],
    [{ mimeType: 'application/vnd.rar' }, 'Unsupported file type: application/vnd.rar'],
    [{ mimeType: 'application/x-strange' }, 'Unsupported file type: application/x-strange'],
    [{ mimeType: '' }, 'Unsupported file type: '],
  ])('%j is refused', async (request, message) => {
    const reply = await client.upload(await client.createSession(), hello, request);
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({
      error: { status: 'INVALID_ARGUMENT', message: expect.stringContaining(message) },
    });
    expect(standIn.files.all).toEqual([]);
  });

  test('is refused over the limit, in a foreign or unknown session, and with a wrong bearer', async () => {
    const session = await client.createSession();
    standIn.fileLimitBytes = 3;
    expect((await client.upload(session, hello)).status).toBe(400);
    standIn.reset();
    const own = await client.createSession();
    expect((await other.upload(own, hello)).status).toBe(403);
    expect((await client.upload(session, hello)).status).toBe(404);
    const wrong = await client.call('AddContextFile', { name: own }, { bearer: 'a.b.c' });
    expect(wrong.status).toBe(401);
  });

  test('fails as ordered', async () => {
    const session = await client.createSession();
    standIn.setFault('demo-1', { on: 'addContextFile', scenario: 'http status=503', times: 1 });
    expect((await client.upload(session, hello)).status).toBe(503);
    standIn.setFault('demo-1', { on: 'addContextFile', scenario: 'no-id', times: 1 });
    expect(await (await client.upload(session, hello)).json()).toEqual({
      addContextFileResponse: {},
    });
    standIn.setFault('demo-1', { on: 'addContextFile', scenario: 'reset-before', times: 1 });
    await expect(client.upload(session, hello)).rejects.toThrow();
    expect((await client.upload(session, hello)).status).toBe(200);
  });
});

test('a question may not name a file of another session', async () => {
  const fileId = await client.uploaded(await client.createSession(), hello);
  for (const id of [fileId, '42']) {
    const [element] = await client.elements('x', { request: { fileIds: [id] } });
    expect(element?.error).toMatchObject({
      code: 404,
      message: `File with ID "${id}" is not found.`,
    });
  }
  expect(standIn.sessions.turns.map(({ files }) => files)).toEqual([[], []]);
});

test('files of a session are listed by their origin', async () => {
  const session = await client.createSession();
  const uploaded = await client.uploaded(session, hello);
  const elements = await client.elements('[[image name="../../x" mime=image/gif]]', { session });
  const [generated] = filesOf(elements);
  expect(generated?.mimeType).toBe('image/gif');
  const mine = { fileId: uploaded, name: 'a.txt', byteSize: '14', fileOriginType: 'USER_UPLOADED' };
  const made = {
    fileId: generated?.fileId,
    name: '../../x',
    mimeType: 'image/png',
    session: sessionOf(elements),
    fileOriginType: 'AI_GENERATED',
  };
  expect(await client.metadata(session)).toMatchObject([mine, made]);
  expect(await client.metadata(session, 'USER_UPLOADED')).toMatchObject([mine]);
  expect(
    await client.metadata(sessionOf(elements), 'file_origin_type = AI_GENERATED'),
  ).toMatchObject([made]);
  expect((await client.listFiles(session, 'size > 3')).status).toBe(400);
  expect((await other.listFiles(session)).status).toBe(403);
});

test('the list lacks files, hides them or fails as ordered', async () => {
  const session = await client.createSession();
  await client.elements('[[image not-ready=2]]', { session });
  const lengths = [];
  for (let n = 0; n < 3; n += 1) lengths.push((await client.metadata(session)).length);
  expect(lengths).toEqual([0, 0, 1]);
  standIn.setFault('*', { on: 'listSessionFiles', scenario: 'file unlisted=1', times: 1 });
  expect(await client.metadata(session)).toEqual([]);
  standIn.setFault('*', { on: 'listSessionFiles', scenario: 'http status=429', times: 1 });
  expect((await client.listFiles(session)).status).toBe(429);
  await client.elements('[[image no-list=1]]', { session });
  expect((await client.listFiles(session)).status).toBe(500);
});
