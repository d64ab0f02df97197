import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { demoAccount, seedFile } from './accounts';
import { type StandIn, startStandIn } from './stand-in';
import { stateOf, TestClient, textOf } from './test-client';

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

test('demo accounts are the same at every start and make a seed file', () => {
  const account = demoAccount(1);
  expect(account).toEqual(demoAccount(1));
  expect(account.csesidx).toMatch(/^\d{10}$/);
  expect(account.team_id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-8[\da-f]{3}-[\da-f]{12}$/);
  expect(new Set([1, 2, 3, 4, 5].map((n) => demoAccount(n).csesidx)).size).toBe(5);
  const { name: _, ...fields } = account;
  expect(seedFile([account])).toEqual({ accounts: [{ ...fields, available: true }], models: [] });
});

test('answers a question in the default way', async () => {
  const session = await client.createSession();
  expect(session).toMatch(
    /^collections\/default_collection\/engines\/agentspace-engine\/sessions\/\d+$/,
  );
  const elements = await client.elements('How are you?\n', { session });
  expect(textOf(elements)).toMatch(/^You said: How are you\?/);
  expect(textOf(elements)).toContain('你好');
  expect(stateOf(elements)).toBe('SUCCEEDED');
  expect(elements.filter((element) => element.uToken !== undefined)).toEqual([elements[0]]);
  const infos = elements.map((element) => element.streamAssistResponse?.sessionInfo);
  expect(infos.slice(0, -1).every((info) => Object.keys(info ?? { no: 1 }).length === 0)).toBe(
    true,
  );
  expect(infos.at(-1)?.session).toMatch(/^projects\/\d+\/locations\/global\/collections/);
});

test('remembers what each session was asked, and counts calls', async () => {
  const session = await client.createSession();
  await client.elements('first', { session });
  await client.elements('second [[text value=ok]]', {
    session,
    request: { assistGenerationConfig: { modelId: 'gemini-2.5-pro' } },
  });
  const turns = standIn.sessions.find(session)?.turns ?? [];
  expect(turns).toMatchObject([
    { account: 'demo-1', prompt: 'first', modelId: null, scenario: 'echo' },
    { prompt: 'second [[text value=ok]]', modelId: 'gemini-2.5-pro', scenario: 'text' },
  ]);
  expect(standIn.counts('demo-1')).toEqual({ key: 3, createSession: 1, streamAssist: 2 });
  expect(standIn.counts('demo-2')).toEqual({});
  expect(standIn.concurrency('demo-1')).toEqual({ open: 0, peak: 1 });
  const chat = standIn.log.filter((entry) => entry.call === 'streamAssist');
  expect(chat.map((entry) => entry.status)).toEqual([200, 200]);
  expect(chat[1]?.bodyText).toContain('second');
  expect(chat[1]?.missingHeaders).toEqual([]);
  expect(chat[1]?.aborted).toBe(false);
});

test('keeps sessions to their account', async () => {
  const session = await client.createSession();
  const foreign = await other.ask('x', { session });
  expect(foreign.status).toBe(403);
  expect(await foreign.text()).toContain('Session is not owned by the provided user');
  const deleted = await client.call('DeleteSession', { name: session });
  expect(deleted.status).toBe(200);
  const gone = await client.ask('x', { session });
  expect(gone.status).toBe(404);
  expect(await gone.json()).toMatchObject({ error: { code: 404, status: 'NOT_FOUND' } });
});

test('takes the full session name too', async () => {
  const session = await client.createSession();
  const first = await client.elements('a', { session });
  const full = first.at(-1)?.streamAssistResponse?.sessionInfo.session ?? '';
  expect(stateOf(await client.elements('b', { session: full }))).toBe('SUCCEEDED');
  expect(standIn.sessions.find(session)?.turnCount).toBe(2);
});

test('lists sessions in pages, newest first', async () => {
  const names = [await client.createSession(), await client.createSession()];
  await other.createSession();
  await client.elements('my question', { session: names[0] ?? '' });
  const list = async (request: object) => (await client.call('ListSessions', request)).json();
  const first = await list({ pageSize: 1 });
  const sessions = [{ name: names[0], displayName: 'my question' }];
  expect(first).toMatchObject({ listSessionsResponse: { sessions, nextPageToken: '1' } });
  const second = await list({ pageSize: 1, pageToken: '1' });
  expect(second).toMatchObject({ listSessionsResponse: { sessions: [{ name: names[1] }] } });
  expect(JSON.stringify(second)).not.toContain('nextPageToken');
});

test('refuses an unknown model in the stream and a long prompt before it', async () => {
  const request = { assistGenerationConfig: { modelId: 'no-such-model' } };
  const elements = await client.elements('x', { request });
  expect(elements).toMatchObject([{ error: { code: 400, status: 'INVALID_ARGUMENT' } }]);
  standIn.promptLimitCharacters = 10;
  const long = await client.ask('longer than ten');
  expect(long.status).toBe(400);
  expect(await long.json()).toMatchObject({ error: { details: [{ reason: 'PROMPT_TOO_LARGE' }] } });
});

test('skips a greeting when nobody asks for assistance', async () => {
  const request = { assistSkippingMode: undefined };
  const [element] = await client.elements('Hello!', { request });
  expect(element?.streamAssistResponse?.answer).toEqual({
    state: 'SKIPPED',
    assistSkippedReasons: ['NON_ASSIST_SEEKING_QUERY_IGNORED'],
  });
  expect(stateOf(await client.elements('Hello!'))).toBe('SUCCEEDED');
});

test('notices at once that a client left', async () => {
  const abort = new AbortController();
  const response = await client.ask('[[count n=60 ms=10000]]', { signal: abort.signal });
  await response.body?.getReader().read();
  expect(standIn.openStreams).toBe(1);
  const leftAt = Date.now();
  abort.abort();
  await expect.poll(() => standIn.openStreams).toBe(0);
  const entry = standIn.log.findLast(({ call }) => call === 'streamAssist');
  expect(entry).toMatchObject({ aborted: true, status: 200 });
  expect((entry?.endedAt ?? 0) - leftAt).toBeLessThan(1000);
});

test('knows how many chats of an account run at the same time', async () => {
  const ask = (id: string) => client.ask(`[[lockstep id=${id} n=1]]`);
  const replies = await Promise.all(['a', 'b'].map(ask));
  await other.elements('x');
  expect(standIn.concurrency('demo-1')).toEqual({ open: 2, peak: 2 });
  expect(standIn.concurrency('demo-2')).toMatchObject({ peak: 1 });
  standIn.ackPiece('a');
  await replies[0]?.text();
  await expect.poll(() => standIn.concurrency('demo-1')).toEqual({ open: 1, peak: 2 });
  standIn.ackPiece('b');
  await replies[1]?.text();
  await expect.poll(() => standIn.concurrency('demo-1').open).toBe(0);
  standIn.reset();
  expect(standIn.concurrency('demo-1')).toEqual({ open: 0, peak: 0 });
});

test('runs as a program and obeys orders over HTTP', async () => {
  const args = ['--import', 'tsx', 'e2e/stand-in/main.ts', '--accounts', '2'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const url = /^stand-in listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1] ?? '';
    const order = async (method: string, path: string, body?: object) => {
      const init = { method, ...(body ? { body: JSON.stringify(body) } : {}) };
      return (await fetch(`${url}/__control/${path}`, init)).json() as Promise<unknown>;
    };
    const remote = new TestClient(
      { url, clock: { now: Date.now } } as unknown as StandIn,
      demoAccount(2),
    );
    const asking = remote.elements('[[lockstep id=far n=1]]');
    const streams = { open: 1, lockstep: { far: 1 } };
    await expect.poll(() => order('GET', 'streams')).toEqual(streams);
    expect(await order('POST', 'lockstep/ack', { id: 'far' })).toEqual({ acknowledged: true });
    expect(textOf(await asking)).toBe('piece 1');
    const fault = { on: 'streamAssist', scenario: 'http status=429', times: 1 };
    await order('POST', 'fault', { account: 'demo-2', fault });
    expect((await remote.ask('x')).status).toBe(429);
    expect(
      await order('POST', 'fault', { account: 'demo-2', fault: { on: 'key', scenario: 'no' } }),
    ).toEqual({ error: 'key knows no scenario no' });
    expect(await order('GET', 'counts')).toMatchObject({ 'demo-2': { streamAssist: 2 } });
    expect(await order('GET', 'sessions')).toMatchObject([{ account: 'demo-2' }, {}]);
    expect(await order('GET', 'seed-file')).toEqual(seedFile([demoAccount(1), demoAccount(2)]));
    await order('POST', 'quotas', { account: 'demo-2', quotas: { text: 1 }, reason: null });
    expect((await remote.ask('x')).status).toBe(429);
    expect(await order('POST', 'quotas', { quotas: { texts: 0 } })).toEqual({
      error: 'no quota: texts=0',
    });
    const used = { text: 1, images: 0, videos: 0 };
    expect(await order('GET', 'usage')).toMatchObject({ 'demo-1': { text: 0 }, 'demo-2': used });
    await order('POST', 'clock', { offsetMs: 3_600_000 });
    const { headers } = await remote.askKey();
    const ahead = Date.parse(headers.get('date') ?? '') - Date.now();
    expect(Math.abs(ahead - 3_600_000)).toBeLessThan(5000);
    await order('POST', 'reset', {});
    const nothing = { concurrency: { open: 0, peak: 0 } };
    expect(await order('GET', 'counts')).toEqual({ 'demo-1': nothing, 'demo-2': nothing });
  } finally {
    child.kill('SIGTERM');
  }
  expect(await once(child, 'exit')).toEqual([0, null]);
}, 20_000);
