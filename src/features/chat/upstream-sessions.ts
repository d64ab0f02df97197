import { type Account, allAccounts } from '@/features/accounts/account-table';
import { healthOf } from '@/features/accounts/health';
import { type Lease, leaseOf } from '@/features/accounts/lease';
import { mayBeAsked } from '@/features/accounts/readiness';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { createSession, deleteSession } from '@/gemini/client';
import type { CancelSignal } from '@/platform/cancellation';
import { query, sqlTime } from '@/platform/db';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';
import { writeBehind, writeLatestBehind } from '@/platform/write-behind';

/**
 * The sessions that we have made upstream, from the first call to the deletion. Each has a row, so
 * that those which a restart has left behind are deleted, too.
 */

/** An upstream session of ours. */
export interface UpstreamSession {
  name: string;
  accountId: string;
  createdAtMs: number;
  /** Questions that were answered in it. */
  turns: number;
}

type Left = Pick<UpstreamSession, 'accountId' | 'name'>;

interface Sessions {
  /** By name, what is not in its row yet; `isNew` if there is no row. */
  unsaved: Map<string, { session: UpstreamSession; usedAtMs: number; isNew: boolean }>;
  /** The names of those to be deleted upstream, by account. */
  waiting: Map<string, Set<string>>;
  waitingCount: number;
  /** Accounts on which a deletion has failed: none is tried before this time, by `performance.now`. */
  pausedUntilMs: Map<string, number>;
  startedAtMs: number;
  /** The last row of an earlier process that was taken up; null when there are no more. */
  leftoversAfter: Left | null;
}

/** Further ones are given up: they stay upstream, in the history of their account. */
const MAX_WAITING = 10_000;
const LEFTOVERS_PAGE = 200;
/** There is one round a second. */
const DELETIONS_A_ROUND = 20;
const PAUSE_AFTER_FAILURE_MS = 30_000;

function sessions(): Sessions {
  return processState<Sessions>('upstream-sessions', () => ({
    unsaved: new Map(),
    waiting: new Map(),
    waitingCount: 0,
    pausedUntilMs: new Map(),
    startedAtMs: Date.now(),
    leftoversAfter: { accountId: '', name: '' },
  }));
}

const SAVE = `INSERT INTO "UpstreamSession" ("accountId", "name", "createdAt", "lastUsedAt", "turns")
  SELECT value->>0, value->>1, ${sqlTime('value->>2')}, ${sqlTime('value->>3')}, value->>4
  FROM json_each(?) WHERE value->>0 IN (SELECT "id" FROM "Account")
  ON CONFLICT ("accountId", "name") DO UPDATE SET
    "lastUsedAt" = excluded."lastUsedAt", "turns" = excluded."turns"`;

const FORGET = `DELETE FROM "UpstreamSession" WHERE ("accountId", "name") IN
  (SELECT value->>0, value->>1 FROM json_each(?))`;

/**
 * Makes a session on the leased account.
 * @throws GeminiError `config` if the workspace id is refused; others by `classifyReply`
 */
export async function newSession(lease: Lease, signal: CancelSignal): Promise<UpstreamSession> {
  const { account, connection } = lease;
  const name = await lease.call((identity) => createSession(connection, identity, signal), {
    configFault: true,
  });
  const session = { name, accountId: account.id, createdAtMs: Date.now(), turns: 0 };
  note(session, true);
  return session;
}

/** Takes note that a question was answered in the session. */
export function saveSession(session: UpstreamSession): void {
  note(session, false);
}

function note(session: UpstreamSession, isNew: boolean): void {
  const { unsaved } = sessions();
  const wasNew = unsaved.get(session.name)?.isNew ?? false;
  unsaved.set(session.name, { session, usedAtMs: Date.now(), isNew: isNew || wasNew });
}

/**
 * Queues the rows of what was noted since the last call. Called once a second and at stop: most of
 * the sessions that nobody continues under load then never get a row.
 */
export function saveSessions(): void {
  const { unsaved } = sessions();
  for (const [name, { session, usedAtMs }] of unsaved) {
    const { accountId, createdAtMs, turns } = session;
    writeLatestBehind(SAVE, name, [accountId, name, createdAtMs, usedAtMs, turns]);
  }
  unsaved.clear();
}

/** Takes note that a session is not there any more. */
export function forgetSession({ accountId, name }: Left): void {
  const { unsaved } = sessions();
  const hasRow = unsaved.get(name)?.isNew !== true;
  unsaved.delete(name);
  if (hasRow) writeBehind(FORGET, [accountId, name]);
}

/** Gives a session up: nobody uses it any more, and it is deleted upstream when there is time. */
export function leaveSession(session: Left): void {
  if (sessions().waitingCount < MAX_WAITING) addWaiting(session);
  else forgetSession(session);
}

function addWaiting({ accountId, name }: Left): void {
  const state = sessions();
  const names = state.waiting.get(accountId) ?? new Set();
  state.waiting.set(accountId, names);
  state.waitingCount -= names.size;
  names.add(name);
  state.waitingCount += names.size;
}

/** Takes the first of those that wait on an account, and puts the account behind the others. */
function takeWaiting(accountId: string, count: number): string[] {
  const state = sessions();
  const names = state.waiting.get(accountId) ?? new Set();
  const taken: string[] = [];
  for (const name of names) {
    if (taken.length === count) break;
    names.delete(name);
    taken.push(name);
  }
  state.waitingCount -= taken.length;
  state.waiting.delete(accountId);
  if (names.size > 0) state.waiting.set(accountId, names);
  return taken;
}

/**
 * Deletes some of the sessions that were left, and of those that an earlier process has left: one at
 * a time on each account. One that can't be deleted is forgotten, and its account is left in peace
 * for a while; what belongs to an account that rests waits. Blames no account.
 */
export async function deleteLeftSessions(signal: CancelSignal): Promise<void> {
  const [accounts, limits] = await Promise.all([allAccounts(), settings()]);
  const { waiting, pausedUntilMs } = sessions();
  const due = [...waiting.keys()].filter((id) => {
    const isPaused = performance.now() < (pausedUntilMs.get(id) ?? 0);
    return !isPaused && (usable(accounts.get(id)) === null || mayBeAsked(id, accounts, limits));
  });
  const dueCount = due.reduce((sum, id) => sum + (waiting.get(id)?.size ?? 0), 0);
  if (dueCount < DELETIONS_A_ROUND) await takeUpLeftovers();
  const share = Math.ceil(DELETIONS_A_ROUND / due.length);
  await Promise.all(
    due.slice(0, DELETIONS_A_ROUND).map((id) => {
      const names = takeWaiting(id, share);
      return deleteOnAccount(id, usable(accounts.get(id)), names, limits, signal);
    }),
  );
}

/** The account, if there is any hope of deleting something there. */
function usable(account: Account | undefined): Account | null {
  return account?.enabled && healthOf(account.id).condition === 'ok' ? account : null;
}

async function deleteOnAccount(
  accountId: string,
  account: Account | null,
  names: string[],
  limits: Settings,
  signal: CancelSignal,
): Promise<void> {
  const { pausedUntilMs } = sessions();
  for (const name of names) {
    const left = { accountId, name };
    const isPaused = performance.now() < (pausedUntilMs.get(accountId) ?? 0);
    if (account === null) forgetSession(left);
    else if (isPaused || signal.aborted) addWaiting(left);
    else await deleteOne(account, left, limits, signal);
  }
}

async function deleteOne(
  account: Account,
  left: Left,
  limits: Settings,
  signal: CancelSignal,
): Promise<void> {
  const { pausedUntilMs } = sessions();
  try {
    const events = { contentBegan() {}, served() {} };
    const lease = leaseOf(account, 'text', limits, signal, events);
    const { connection } = lease;
    await lease.call((identity) => deleteSession(connection, identity, left.name, signal));
    pausedUntilMs.delete(account.id);
  } catch (error) {
    // The row stays for the next start.
    if (signal.aborted) return;
    pausedUntilMs.set(account.id, performance.now() + PAUSE_AFTER_FAILURE_MS);
    log().debug({ account: account.label, err: error }, 'upstream session not deleted');
  }
  forgetSession(left);
}

async function takeUpLeftovers(): Promise<void> {
  const state = sessions();
  const after = state.leftoversAfter;
  if (after === null) return;
  const { accountId, name } = after;
  const rows = await query((db) =>
    db.upstreamSession.findMany({
      where: {
        createdAt: { lt: new Date(state.startedAtMs) },
        OR: [{ accountId: { gt: accountId } }, { accountId, name: { gt: name } }],
      },
      orderBy: [{ accountId: 'asc' }, { name: 'asc' }],
      take: LEFTOVERS_PAGE,
      select: { accountId: true, name: true },
    }),
  );
  state.leftoversAfter = rows.length < LEFTOVERS_PAGE ? null : (rows.at(-1) ?? null);
  for (const row of rows) addWaiting(row);
}
