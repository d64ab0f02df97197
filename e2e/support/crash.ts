import { expect } from 'vitest';
import type { CallEntry } from '../stand-in/call-log';
import { ask, expectWhole, type Seen } from './caller';
import { eventually, type Pool } from './pool';
import { accountRow, requestRow } from './rows';

/** What the tests of faults have in common: short waits, so that many faults fit into one server. */

const REST_MS = 300;
/** So much of a rest must be seen: it is measured from outside. */
export const SURE_REST_MS = 270;

export const crashSettings = {
  firstContentTimeoutMs: 1_000,
  idleTimeoutMs: 500,
  queueWaitMs: 100,
  earlyHeadersAfterMs: 200,
  commentEveryMs: 50,
  faultRestMs: REST_MS,
  faultRestMaxMs: REST_MS,
  overloadRestMs: REST_MS,
  overloadRestMaxMs: REST_MS,
  quotaRestMs: REST_MS,
  quotaRestMaxMs: REST_MS,
  probeEveryMs: REST_MS,
  // Each call is one that a caller waits for.
  sessionStockPerAccount: 0,
};

export const names = ['demo-1', 'demo-2', 'demo-3'];

/** For `describe.each`: both ways in which a chat is answered. */
export const ways = [
  ['streamed', true],
  ['whole', false],
] as const;

/** The text of the stand-in's failures that begin well. */
export function pieces(count: number): string {
  return Array.from({ length: count }, (_, index) => `piece ${index + 1} `).join('');
}

/** Chats that reached the upstream, oldest first. */
export function chatsOf({ standIn }: Pool, name?: string): CallEntry[] {
  const isMine = ({ account }: CallEntry) => name === undefined || account === name;
  return standIn.log.filter((entry) => entry.call === 'streamAssist' && isMine(entry));
}

/** Takes all faults away and asks until each of the three accounts serves. */
export async function heal(pool: Pool): Promise<void> {
  await eventually(() => pool.standIn.openStreams === 0);
  pool.standIn.reset();
  await eventually(async () => {
    await ask(pool, 'text value=well', { stream: false });
    return names.every((name) => chatsOf(pool, name).some(({ status }) => status === 200));
  }, 10_000);
  pool.standIn.reset();
}

/** Calls at least three times, and until the account has had its turn. */
export async function untilAsked(
  pool: Pool,
  name: string,
  call: () => Promise<Seen>,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  while (seen.length < 3 || chatsOf(pool, name).length === 0) seen.push(await call());
  return seen;
}

/** With a fault on one of three accounts, all calls are answered by the others; it rests meanwhile. */
export async function expectOthersAnswer(
  pool: Pool,
  scenario: string,
  stream: boolean,
  restMs = SURE_REST_MS,
): Promise<Seen[]> {
  pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario });
  const seen = await untilAsked(pool, 'demo-1', () => ask(pool, 'text value=whole', { stream }));
  for (const each of seen) expectWhole(each, 'whole');
  expectRests(pool, 'demo-1', restMs);
  return seen;
}

/** Between two chats that the account was asked for, there was always a rest. */
export function expectRests(pool: Pool, name: string, restMs: number): void {
  const times = chatsOf(pool, name).map((entry) => entry.at);
  for (const [index, at] of times.slice(1).entries()) {
    expect(at - (times[index] ?? at)).toBeGreaterThanOrEqual(restMs);
  }
}

/** With a fault on all accounts a call fails, and asks none of them twice. */
export async function askInVain(pool: Pool, scenario: string, stream: boolean): Promise<Seen> {
  pool.standIn.reset();
  pool.standIn.setFault('*', { on: 'streamAssist', scenario });
  const seen = await ask(pool, 'text value=whole', { stream });
  for (const name of names) expect(chatsOf(pool, name).length).toBeLessThanOrEqual(1);
  return seen;
}

/** No account is to blame for what was asked so far. */
export async function expectNobodyIll(pool: Pool): Promise<void> {
  const { requestId } = await ask(pool, 'text value=well', { stream: false });
  await requestRow(pool, requestId);
  for (const number of [1, 2, 3]) {
    expect(await accountRow(pool, number)).toMatchObject({ condition: 'ok', fault: null });
  }
}
