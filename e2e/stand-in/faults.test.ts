import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { demoAccount } from './accounts';
import { type StandIn, startStandIn } from './stand-in';
import { TestClient } from './test-client';

let standIn: StandIn;
let client: TestClient;

beforeAll(async () => {
  standIn = await startStandIn();
  client = new TestClient(standIn, demoAccount(1));
});
beforeEach(() => standIn.reset());
afterAll(() => standIn.close());

test('last for their times and are of that account alone', async () => {
  const scenario = 'http status=429 reason=QUOTA_EXCEEDED';
  standIn.setFault('demo-1', { on: 'streamAssist', scenario, times: 2 });
  const other = new TestClient(standIn, demoAccount(2));
  expect((await other.ask('x')).status).toBe(200);
  const statuses = [];
  for (let n = 0; n < 3; n += 1) statuses.push((await client.ask('x')).status);
  expect(statuses).toEqual([429, 429, 200]);
  expect(standIn.sessions.turns.map((turn) => turn.scenario)).toEqual([
    'echo',
    'http',
    'http',
    'echo',
  ]);
});

test('last for their time', async () => {
  standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=503', forMs: 300 });
  expect((await client.ask('x')).status).toBe(503);
  await expect.poll(async () => (await client.ask('x')).status).toBe(200);
});

test('spoil the creation of sessions too, and can be taken away', async () => {
  standIn.setFault('*', { on: ['createSession', 'streamAssist'], scenario: 'http status=401' });
  expect((await client.call('CreateSession', {})).status).toBe(401);
  standIn.setFault('*', null);
  expect((await client.call('CreateSession', {})).status).toBe(200);
});

test('that a call cannot play are an error', () => {
  const fault = { on: 'createSession' as const, scenario: 'count n=1' };
  expect(() => standIn.setFault('demo-1', fault)).toThrow('createSession knows no scenario count');
  expect(() => standIn.setFault('nobody', null)).toThrow('no account nobody');
});
