import { type Account, allAccounts } from '@/features/accounts/account-table';
import { healthOf } from '@/features/accounts/health';
import { backgroundLease, type Lease } from '@/features/accounts/lease';
import { mayBeAsked } from '@/features/accounts/readiness';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { createSession, deleteSession } from '@/gemini/client';
import { isGeminiError } from '@/gemini/errors';
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
  /** Its ids of the files that were given to it, by what they are; null if none was. */
  fileIds: Map<string, string> | null;
}

type Left = Pick<UpstreamSession, 'accountId' | 'name'>;

interface Sessions {
  /** By account and name, what is not in its row yet; `isNew` if there is no row. */
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
/** The other half is for those that are left from now on. */
const ENOUGH_WAITING = MAX_WAITING / 2;
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

/** What tells a session from all others. */
function keyOf({ accountId, name }: Left): string {
  return `${accountId} ${name}`;
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
  // Before the start are those of earlier processes, also when the clock was set back since then.
  const createdAtMs = Math.max(Date.now(), sessions().startedAtMs);
  const session = { name, accountId: account.id, createdAtMs, turns: 0, fileIds: null };
  note(session, true);
  return session;
}

/** Takes note that a question was answered in the session. */
export function saveSession(session: UpstreamSession): void {
  note(session, false);
}

function note(session: UpstreamSession, isNew: boolean): void {
  const { unsaved } = sessions();
  const key = keyOf(session);
  const wasNew = unsaved.get(key)?.isNew ?? false;
  unsaved.set(key, { session, usedAtMs: Date.now(), isNew: isNew || wasNew });
}

/**
 * Queues the rows of what was noted since the last call. Called once a second and at stop: most of
 * the sessions that nobody continues under load then never get a row.
 */
export function saveSessions(): void {
  const { unsaved } = sessions();
  for (const [key, { session, usedAtMs }] of unsaved) {
    const { accountId, name, createdAtMs, turns } = session;
    writeLatestBehind(SAVE, key, [accountId, name, createdAtMs, usedAtMs, turns]);
  }
  unsaved.clear();
}

/** Takes note that a session is not there any more. */
export function forgetSession(session: Left): void {
  const { unsaved } = sessions();
  const key = keyOf(session);
  const hasRow = unsaved.get(key)?.isNew !== true;
  unsaved.delete(key);
  if (hasRow) writeBehind(FORGET, [session.accountId, session.name]);
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
function takeWaiting(accountId: string, count = Number.POSITIVE_INFINITY): string[] {
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
 * for a while; what belongs to an account that may not be asked now waits. Blames no account.
 */
export async function deleteLeftSessions(signal: CancelSignal): Promise<void> {
  const [accounts, limits] = await Promise.all([allAccounts(), settings()]);
  dropHopeless(accounts);
  const { waiting, waitingCount } = sessions();
  const due = [...waiting.keys()]
    .flatMap((id) => accounts.get(id) ?? [])
    .filter(({ id }) => !isPaused(id) && mayBeAsked(id, accounts, limits));
  const share = Math.ceil(DELETIONS_A_ROUND / due.length);
  if (waitingCount < ENOUGH_WAITING) await takeUpLeftovers();
  await Promise.all(
    due
      .slice(0, DELETIONS_A_ROUND)
      .map((account) => deleteSome(account, takeWaiting(account.id, share), limits, signal)),
  );
}

/**
 * Drops those of accounts that were deleted, and, where they fill the room of others, those of
 * accounts that need the operator: their rows stay, and the next start takes them up.
 */
function dropHopeless(accounts: ReadonlyMap<string, Account>): void {
  const { waiting, waitingCount } = sessions();
  for (const id of waiting.keys()) {
    const account = accounts.get(id);
    const isUsable = account?.enabled && healthOf(id).condition === 'ok';
    if (!account || (!isUsable && waitingCount >= ENOUGH_WAITING)) takeWaiting(id);
  }
}

function isPaused(accountId: string): boolean {
  return performance.now() < (sessions().pausedUntilMs.get(accountId) ?? 0);
}

async function deleteSome(
  account: Account,
  names: string[],
  limits: Settings,
  signal: CancelSignal,
): Promise<void> {
  for (const name of names) {
    const left = { accountId: account.id, name };
    if (isPaused(account.id) || signal.aborted) addWaiting(left);
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
    const lease = backgroundLease(account, limits, signal);
    const { connection } = lease;
    await lease.call((identity) => deleteSession(connection, identity, left.name, signal));
    pausedUntilMs.delete(account.id);
  } catch (error) {
    // The row stays for the next start.
    if (signal.aborted) return;
    // Not the account's any more: that says nothing of the others.
    const isStrange = isGeminiError(error) && error.fault === 'state';
    if (!isStrange) pausedUntilMs.set(account.id, performance.now() + PAUSE_AFTER_FAILURE_MS);
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
