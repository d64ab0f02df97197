import { type Account, allAccounts } from '@/features/accounts/account-table';
import { probeAtMs } from '@/features/accounts/guard';
import { healthOf } from '@/features/accounts/health';
import { type Circumstances, type Seat, seatFromMs } from '@/features/accounts/seat-standing';
import { currentSeats } from '@/features/accounts/seat-table';
import { isHalfOpen } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';

/** What may be asked of the accounts, told without taking one. */

type Accounts = ReadonlyMap<string, Account>;

/**
 * Whether a text would find an account now: a well one, or one whose rest is over, and no guard in
 * the way before its next probe.
 */
export async function hasReadySeat(settings: Settings): Promise<boolean> {
  const { seats, guards } = currentSeats(await allAccounts(), settings);
  const nowMs = Date.now();
  if (probeAtMs(guards, 'upstream') > nowMs) return false;
  const circumstances = { settings, guards };
  return [...seats.values()].some((seat) => isReadyForText(seat, circumstances, nowMs));
}

/**
 * Whether the account is well, and neither it nor what it goes through rests or has yet to be proved
 * by a request: work in the background leaves it in peace otherwise. `accounts` and `settings` are
 * those in force.
 */
export function mayBeAsked(id: string, accounts: Accounts, settings: Settings): boolean {
  const { seats, guards } = currentSeats(accounts, settings);
  const seat = seats.get(id);
  return seat !== undefined && isUndoubted(seat, { settings, guards }, Date.now());
}

/** The accounts that a request has taken within the last `withinMs`, and that may be asked now. */
export function accountsInUse(withinMs: number, accounts: Accounts, settings: Settings): Account[] {
  const { seats, guards } = currentSeats(accounts, settings);
  const sinceMs = performance.now() - withinMs;
  const nowMs = Date.now();
  return [...seats.values()]
    .filter((seat) => seat.usedAtMs >= sinceMs && isUndoubted(seat, { settings, guards }, nowMs))
    .map(({ account }) => account);
}

/** A guard that is open counts also where its next probe is due: a request is to be that. */
function isUndoubted(seat: Seat, circumstances: Circumstances, nowMs: number): boolean {
  const { guards } = circumstances;
  return (
    probeAtMs(guards, 'upstream') === 0 &&
    probeAtMs(guards, `exit ${seat.exit}`) === 0 &&
    !isHalfOpen(healthOf(seat.account.id), 'text') &&
    isReadyForText(seat, circumstances, nowMs)
  );
}

function isReadyForText(seat: Seat, circumstances: Circumstances, nowMs: number): boolean {
  return (
    healthOf(seat.account.id).condition === 'ok' &&
    seatFromMs(seat, 'text', circumstances, nowMs) <= nowMs
  );
}
