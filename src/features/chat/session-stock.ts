import { type Account, allAccounts } from '@/features/accounts/account-table';
import { backgroundLease } from '@/features/accounts/lease';
import { accountsInUse, mayBeAsked } from '@/features/accounts/readiness';
import { leaveSession, newSession, type UpstreamSession } from '@/features/chat/upstream-sessions';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { Cancellation } from '@/platform/cancellation';
import { isDraining } from '@/platform/lifecycle';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

/**
 * Sessions made ahead of need, so that a new conversation waits for one upstream call and not for
 * two. Only for accounts in use, and never in a caller's time.
 */

/** Of one account. */
interface Shelf {
  /** Those of other cookies are not used. */
  credentialVersion: number;
  /** The oldest first. */
  sessions: UpstreamSession[];
  isBeingFilled: boolean;
  /** Not filled before this time, by `performance.now`: it failed. */
  pauseUntilMs: number;
}

const IN_USE_MS = 5 * 60_000;
const PAUSE_AFTER_FAILURE_MS = 30_000;

function shelves(): Map<string, Shelf> {
  return processState('session-stock', () => new Map<string, Shelf>());
}

/** How many sessions are ready. */
export function stockSize(): number {
  let size = 0;
  for (const { sessions } of shelves().values()) size += sessions.length;
  return size;
}

/** Takes a session that is ready on the account, if there is one. */
export function takeStocked(
  account: Account,
  { sessionStockMaxAgeMs }: Pick<Settings, 'sessionStockMaxAgeMs'>,
): UpstreamSession | null {
  const shelf = shelves().get(account.id);
  if (!shelf || shelf.credentialVersion !== account.credentialVersion) return null;
  for (;;) {
    const session = shelf.sessions.shift();
    if (!session) return null;
    if (Date.now() - session.createdAtMs < sessionStockMaxAgeMs) return session;
    leaveSession(session);
  }
}

/** Fills the stock of an account in the background, one session after the other. Blames nobody. */
export function fillStock(account: Account, limits: Settings): void {
  const wanted = limits.sessionStockPerAccount;
  if (wanted === 0) return;
  const shelf = shelfOf(account);
  const isFull = shelf.sessions.length >= wanted;
  if (isFull || shelf.isBeingFilled || performance.now() < shelf.pauseUntilMs) return;
  shelf.isBeingFilled = true;
  setImmediate(() => {
    fill(account, shelf)
      .catch((error) => {
        shelf.pauseUntilMs = performance.now() + PAUSE_AFTER_FAILURE_MS;
        log().debug({ account: account.label, err: error }, 'no session could be made ahead');
      })
      .finally(() => {
        shelf.isBeingFilled = false;
      });
  });
}

/** Goes by what is in force each time: what the request had at its beginning may be minutes old. */
async function fill({ id }: Account, shelf: Shelf): Promise<void> {
  for (;;) {
    const [accounts, limits] = await Promise.all([allAccounts(), settings()]);
    const account = accounts.get(id);
    if (account?.credentialVersion !== shelf.credentialVersion) return;
    if (shelf.sessions.length >= limits.sessionStockPerAccount) return;
    if (isDraining() || !mayBeAsked(id, accounts, limits)) return;
    const signal = new Cancellation();
    const session = await newSession(backgroundLease(account, limits, signal), signal);
    // Emptied for good while we waited: nobody would take it.
    if (shelves().get(id) !== shelf) return leaveSession(session);
    shelf.sessions.push(session);
  }
}

function shelfOf({ id, credentialVersion }: Account): Shelf {
  const known = shelves().get(id);
  // A request under way may still hold an older row.
  if (known && known.credentialVersion >= credentialVersion) return known;
  empty(id);
  const shelf = { credentialVersion, sessions: [], isBeingFilled: false, pauseUntilMs: 0 };
  shelves().set(id, shelf);
  return shelf;
}

function empty(id: string): void {
  const shelf = shelves().get(id);
  shelves().delete(id);
  shelf?.sessions.splice(0).forEach(leaveSession);
}

/**
 * Throws away what is stale, or of an account that was deleted, disabled or got other cookies, and
 * fills the stock of the accounts in use.
 */
export async function tendStock(): Promise<void> {
  const [accounts, limits] = await Promise.all([allAccounts(), settings()]);
  const { sessionStockPerAccount, sessionStockMaxAgeMs } = limits;
  const staleMs = Date.now() - sessionStockMaxAgeMs;
  for (const [id, shelf] of shelves()) {
    const account = accounts.get(id);
    const isCurrent = account?.enabled && account.credentialVersion <= shelf.credentialVersion;
    if (!isCurrent) empty(id);
    const isStale = ({ createdAtMs }: UpstreamSession) => createdAtMs <= staleMs;
    const surplus = Math.max(0, shelf.sessions.length - sessionStockPerAccount);
    const gone = Math.max(surplus, shelf.sessions.findLastIndex(isStale) + 1);
    shelf.sessions.splice(0, gone).forEach(leaveSession);
  }
  for (const account of accountsInUse(IN_USE_MS, accounts, limits)) fillStock(account, limits);
}
