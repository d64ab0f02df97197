import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { deleteAccount, setEnabled } from '@/features/accounts/accounts';
import { backgroundLease } from '@/features/accounts/lease';
import {
  deleteLeftSessions,
  leaveSession,
  newSession,
  saveSession,
  saveSessions,
} from '@/features/chat/upstream-sessions';
import { Settings } from '@/features/settings/schema';
import { query } from '@/platform/db';
import { flushWriteBehind } from '@/platform/write-behind';
import { type NearUpstream, startNearUpstream } from '../../../e2e/support/near-upstream';

process.env.LOG_LEVEL = 'silent';

const HOUR = 3_600_000;
const { signal } = new AbortController();

let upstream: NearUpstream;
let one: Account;
let two: Account;

beforeEach(async () => {
  upstream = await startNearUpstream(2);
  one = upstream.account(1);
  two = upstream.account(2);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await upstream.close();
});

const make = (account: Account) =>
  newSession(backgroundLease(account, Settings.parse({}), signal), signal);
const upstreamCount = () => upstream.standIn.sessions.all.length;

async function rows(): Promise<{ accountId: string; name: string }[]> {
  saveSessions();
  await flushWriteBehind();
  return query((db) => db.upstreamSession.findMany({ select: { accountId: true, name: true } }));
}

/** Some rounds of the clock. */
async function tick(rounds = 3): Promise<void> {
  for (let round = 0; round < rounds; round++) await deleteLeftSessions(signal);
}

/** As if the process had ended and begun anew. */
function restart(): void {
  const state: Map<string, unknown> = Reflect.get(globalThis, Symbol.for('business-gemini-pool'));
  state.delete('upstream-sessions');
}

describe('a session that is left', () => {
  it('is deleted upstream, and its row', async () => {
    leaveSession(await make(one));
    expect(await rows()).toHaveLength(1);
    await tick();
    expect([upstreamCount(), await rows()]).toEqual([0, []]);
  });

  it('waits for its account while that is disabled', async () => {
    leaveSession(await make(one));
    await setEnabled(one.id, false);
    await tick();
    expect([upstreamCount(), (await rows()).length]).toEqual([1, 1]);
    await setEnabled(one.id, true);
    await tick();
    expect([upstreamCount(), await rows()]).toEqual([0, []]);
  });

  it('is forgotten with its account', async () => {
    leaveSession(await make(one));
    await deleteAccount(one.id);
    await tick();
    expect([upstreamCount(), await rows()]).toEqual([1, []]);
  });

  it('holds up no others when it turns out to be another account’s', async () => {
    const { name } = await make(two);
    leaveSession({ accountId: one.id, name });
    leaveSession(await make(one));
    leaveSession(await make(one));
    await tick();
    expect(upstream.standIn.sessions.all.map(({ account }) => account.name)).toEqual(['demo-2']);
    expect(await rows()).toEqual([{ accountId: two.id, name }]);
  });
});

describe('the sessions of accounts that can’t be asked', () => {
  it('leave room for the others, and keep their rows', async () => {
    await setEnabled(one.id, false);
    const name = (number: number) => `collections/c/engines/e/sessions/${number}`;
    saveSession({
      accountId: one.id,
      name: name(0),
      createdAtMs: Date.now(),
      turns: 1,
      fileIds: null,
    });
    for (let number = 0; number < 10_000; number++) {
      leaveSession({ accountId: one.id, name: name(number) });
    }
    await tick(1);
    leaveSession(await make(two));
    await tick();
    expect([upstreamCount(), await rows()]).toEqual([0, [{ accountId: one.id, name: name(0) }]]);
  });
});

describe('the sessions that an earlier process has left', () => {
  it('are deleted, but none of this one, wherever the clock stands', async () => {
    await make(one);
    await make(two);
    await rows();
    restart();
    saveSessions();
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() - HOUR);
    upstream.standIn.clock.offsetMs = HOUR;
    const { name } = await make(one);
    await rows();
    await tick();
    expect(await rows()).toEqual([{ accountId: one.id, name }]);
    expect(upstreamCount()).toBe(1);
  });
});

describe('the row of a session', () => {
  it('is that of its account and its name', async () => {
    const session = { name: 'same', createdAtMs: Date.now(), turns: 1, fileIds: null };
    saveSession({ ...session, accountId: one.id });
    saveSession({ ...session, accountId: two.id });
    expect(await rows()).toHaveLength(2);
  });
});
