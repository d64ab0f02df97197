import type { Account } from '@/features/accounts/account-table';
import { forgetCredentials } from '@/features/accounts/credentials';
import { exitOf } from '@/features/accounts/exit';
import { forgetExits, moveProbes } from '@/features/accounts/guard';
import { followClock, healthEpochOf } from '@/features/accounts/health';
import { rank, type Seats } from '@/features/accounts/rolls';
import type { Seat } from '@/features/accounts/seat-standing';
import type { Settings } from '@/features/settings/schema';
import { quotaKinds } from '@/gemini/tools';
import { processState } from '@/platform/process-state';

/**
 * The accounts as the pool uses them: what is under way on each, and what of rows, settings and clock
 * its standing follows.
 */

/** The seats as they were last; `currentSeats` brings them up to date. */
export function knownSeats(): Seats {
  return processState<Seats>('seats', () => ({
    accounts: null,
    settings: null,
    seats: new Map(),
    rolls: new Map(),
    guards: new Map(),
    turns: 0,
    virtualTime: 0,
  }));
}

/** The seats as they stand, and what else the pool knows. `accounts` and `settings` are those in force. */
export function currentSeats(accounts: ReadonlyMap<string, Account>, settings: Settings): Seats {
  const pool = knownSeats();
  follow(pool, accounts, settings);
  return pool;
}

/** Follows what has changed of accounts, settings and clock since the last call. */
function follow(pool: Seats, accounts: ReadonlyMap<string, Account>, settings: Settings): void {
  const jumpMs = followClock();
  const areSettingsNew = pool.settings !== settings;
  if (jumpMs === 0 && pool.accounts === accounts && !areSettingsNew) return;
  if (jumpMs !== 0) followJump(pool, jumpMs);
  if (pool.accounts !== accounts) forgetCredentials(accounts);
  const isSameCrew = !areSettingsNew && jumpMs === 0 && haveSameIds(pool.seats, accounts);
  pool.accounts = accounts;
  pool.settings = settings;
  if (isSameCrew) followRows(pool, accounts, settings);
  else makeSeats(pool, accounts, settings);
}

function followJump(pool: Seats, jumpMs: number): void {
  moveProbes(pool.guards, jumpMs);
  for (const { unanswered } of pool.seats.values()) {
    for (const [turn, atMs] of unanswered) unanswered.set(turn, atMs + jumpMs);
  }
}

function haveSameIds(seats: Map<string, Seat>, accounts: ReadonlyMap<string, Account>): boolean {
  return seats.size === accounts.size && [...accounts.keys()].every((id) => seats.has(id));
}

/** The common case, such as new cookies: the accounts are the same, and stay in their order. */
function followRows(pool: Seats, accounts: ReadonlyMap<string, Account>, settings: Settings): void {
  const nowMs = Date.now();
  for (const account of accounts.values()) {
    const seat = pool.seats.get(account.id);
    if (!seat) continue;
    const exit = exitKeyOf(account, settings);
    const healthEpoch = healthEpochOf(account.id);
    const isSame =
      seat.exit === exit &&
      seat.healthEpoch === healthEpoch &&
      isRankedAlike(seat.account, account);
    Object.assign(seat, { account, exit, healthEpoch });
    if (!isSame) rank(pool, seat, nowMs);
  }
}

function isRankedAlike(one: Account, other: Account): boolean {
  return (
    one.enabled === other.enabled &&
    one.weight === other.weight &&
    one.maxConcurrent === other.maxConcurrent &&
    quotaKinds.every((kind) => one.limits[kind] === other.limits[kind])
  );
}

function makeSeats(pool: Seats, accounts: ReadonlyMap<string, Account>, settings: Settings): void {
  const known = pool.seats;
  pool.rolls.clear();
  pool.seats = new Map();
  for (const account of accounts.values()) {
    const unanswered = new Map<number, number>();
    const usedAtMs = Number.NEGATIVE_INFINITY;
    const idle = { inFlight: 0, pass: 0, probes: {}, usedAtMs, unanswered };
    const underWay = known.get(account.id) ?? idle;
    const position = pool.seats.size;
    const exit = exitKeyOf(account, settings);
    const healthEpoch = healthEpochOf(account.id);
    const facts = { account, position, exit, healthEpoch };
    pool.seats.set(account.id, { ...underWay, ...facts, places: [] });
  }
  forgetExits(pool.guards, new Set([...pool.seats.values()].map(({ exit }) => exit)));
}

/** Where the account goes out, to tell exits apart. */
function exitKeyOf(account: Account, settings: Settings): string {
  try {
    return exitOf(account, settings) ?? 'direct';
  } catch {
    // The lease fails with that very failure.
    return 'unreadable';
  }
}
