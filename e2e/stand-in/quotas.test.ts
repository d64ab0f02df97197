import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { demoAccount } from './accounts';
import { DailyQuotas, neededKinds } from './quotas';
import { type StandIn, startStandIn } from './stand-in';
import { filesOf, stateOf, TestClient, textOf } from './test-client';

let standIn: StandIn;
let client: TestClient;

beforeAll(async () => {
  standIn = await startStandIn();
  client = new TestClient(standIn, demoAccount(1));
});
beforeEach(() => standIn.reset());
afterAll(() => standIn.close());

const images = { request: { toolsSpec: { imageGenerationSpec: {} } } };

test('the tools of a question tell what it needs', () => {
  const registry = { toolRegistry: 'default_tool_registry' };
  expect(neededKinds(undefined)).toEqual(['text']);
  expect(neededKinds(registry)).toEqual(['text']);
  expect(neededKinds({ ...registry, webGroundingSpec: {}, imageGenerationSpec: {} })).toEqual([
    'text',
  ]);
  expect(neededKinds({ imageGenerationSpec: {} })).toEqual(['text', 'images']);
  expect(neededKinds({ ...registry, videoGenerationSpec: {} })).toEqual(['text', 'videos']);
});

test('a day ends at midnight in Los Angeles, in summer and in winter', () => {
  const quotas = new DailyQuotas();
  for (const midnight of ['2026-07-02T07:00:00Z', '2026-12-02T08:00:00Z']) {
    const midnightMs = Date.parse(midnight);
    quotas.count('text', midnightMs - 1);
    expect(quotas.usage(midnightMs - 1).text).toBe(1);
    expect(quotas.usage(midnightMs).text).toBe(0);
  }
});

test('counts what was answered, and no more', async () => {
  for (const directive of ['text value=x', 'empty', 'thoughts-only', 'bench', 'truncated']) {
    await (await client.ask(`[[${directive}]]`)).text();
  }
  expect(standIn.usage('demo-1')).toEqual({ text: 5, images: 0, videos: 0 });
  for (const directive of ['http status=500', 'error-first', 'skipped-policy', 'failed', 'html']) {
    await (await client.ask(`[[${directive}]]`)).text();
  }
  expect(standIn.usage('demo-1').text).toBe(5);
  expect(standIn.usage('demo-2').text).toBe(0);
});

test('counts media by the file', async () => {
  await client.elements('[[image n=3]]');
  await client.elements('[[video]]', images);
  expect(standIn.usage('demo-1')).toEqual({ text: 2, images: 3, videos: 1 });
});

test('refuses every chat when the texts are used up, until midnight', async () => {
  standIn.setQuotas('demo-1', { text: 1 });
  expect((await client.ask('x')).status).toBe(200);
  const refused = await client.ask('x');
  expect(refused.status).toBe(429);
  const details = [{ reason: 'QUOTA_EXCEEDED' }];
  expect(await refused.json()).toMatchObject({ error: { status: 'RESOURCE_EXHAUSTED', details } });
  expect((await client.ask('x', images)).status).toBe(429);
  expect((await new TestClient(standIn, demoAccount(2)).ask('x')).status).toBe(200);
  standIn.clock.offsetMs = 25 * 3_600_000;
  expect((await client.ask('x')).status).toBe(200);
});

test('refuses media alone when they are used up, with a reason or without', async () => {
  standIn.setQuotas('*', { images: 1 }, { reason: null });
  expect(filesOf(await client.elements('[[image]]', images))).toHaveLength(2);
  const refused = await client.ask('[[image]]', images);
  expect(refused.status).toBe(429);
  expect(await refused.text()).not.toContain('reason');
  expect((await client.ask('x')).status).toBe(200);
  standIn.setQuotas('*', null);
  expect((await client.ask('[[image]]', images)).status).toBe(200);
});

test('a chat that may do more answers without the files that are past the quota', async () => {
  standIn.setQuotas('demo-1', { images: 1 });
  const elements = await client.elements('[[image n=2 text=Drawn.]]');
  expect(new Set(filesOf(elements).map(({ fileId }) => fileId)).size).toBe(1);
  const without = await client.elements('[[image text=Drawn.]]');
  expect([textOf(without), filesOf(without), stateOf(without)]).toEqual([
    'Drawn.',
    [],
    'SUCCEEDED',
  ]);
});

test('what a fault spoils needs no quota', async () => {
  standIn.setQuotas('demo-1', { text: 0 });
  standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
  expect((await client.ask('x')).status).toBe(500);
  expect((await client.ask('x')).status).toBe(429);
});
