import type { Account } from '@/features/accounts/account-table';
import type { Guards } from '@/features/accounts/guard';
import { healthOf } from '@/features/accounts/health';
import { isRefusedBySome } from '@/features/accounts/offers';
import { Roster } from '@/features/accounts/roster';
import {
  type Circumstances,
  out,
  type Place,
  type Seat,
  standingOf,
  type Use,
} from '@/features/accounts/seat-standing';
import { isHalfOpen } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import type { QuotaKind } from '@/gemini/tools';

/** Which accounts are asked for. */
export interface SeatNeed {
  kind: QuotaKind;
  modelId: string;
  /** What the upstream is told; null: nothing. */
  upstreamModelId: string | null;
  /** The accounts that may serve it; empty: every account. */
  accountIds: readonly string[];
  /** Taken before all others, if it may serve now and is not expected to refuse or to be slow. */
  preferredId?: string | null;
}

/**
 * Those who may serve one kind of need, in order: the well ones, and the half-open ones that a
 * request may probe.
 */
export interface Roll {
  seats: Seat[];
  well: Roster;
  halfOpen: Roster;
}

/** All that the pool keeps of its accounts between requests. */
export interface Seats {
  /** Those of the last call; null before the first. */
  accounts: ReadonlyMap<string, Account> | null;
  settings: Settings | null;
  seats: Map<string, Seat>;
  rolls: Map<string, Roll>;
  guards: Guards;
  turns: number;
  virtualTime: number;
}

/** More than an operator has models with their own accounts; beyond it lists of old are forgotten. */
const MAX_ROLLS = 100;

// A list of accounts comes from the table of models, the same object for all requests.
const listNames = new WeakMap<readonly string[], string>();

/** What the roll for `need` is for: models that nobody refuses share theirs. */
function purposeOf({ kind, upstreamModelId }: SeatNeed): Use {
  return { kind, upstreamModelId: isRefusedBySome(upstreamModelId) ? upstreamModelId : null };
}

function nameOf({ kind, upstreamModelId }: Use, accountIds: readonly string[]): string {
  const use = upstreamModelId === null ? kind : `${kind}/${upstreamModelId}`;
  if (accountIds.length === 0) return use;
  let name = listNames.get(accountIds);
  if (name === undefined) {
    name = accountIds.join(' ');
    listNames.set(accountIds, name);
  }
  return `${use} ${name}`;
}

/** The roll of those who may serve `need`, with all in it whose time has come by now. */
export function rollOf(pool: Seats, need: SeatNeed, nowMs: number): Roll {
  const use = purposeOf(need);
  const name = nameOf(use, need.accountIds);
  let roll = pool.rolls.get(name);
  if (!roll) {
    if (pool.rolls.size >= MAX_ROLLS) forgetRolls(pool);
    roll = makeRoll(pool, use, need.accountIds, nowMs);
    pool.rolls.set(name, roll);
  }
  for (const roster of [roll.well, roll.halfOpen]) {
    for (let place = roster.due(nowMs); place >= 0; place = roster.due(nowMs)) {
      const seat = roll.seats[place];
      if (seat) rank(pool, seat, nowMs);
    }
  }
  return roll;
}

function makeRoll(pool: Seats, use: Use, accountIds: readonly string[], nowMs: number): Roll {
  const allowed = new Set(accountIds);
  const seats = [...pool.seats.values()].filter(
    ({ account }) => allowed.size === 0 || allowed.has(account.id),
  );
  const well = new Roster(seats.length);
  const halfOpen = new Roster(seats.length);
  const { settings, guards } = pool;
  if (settings) {
    const standings = seats.map((seat) => standingOf(seat, use, { settings, guards }, nowMs));
    const isOpen = seats.map(({ account }) => isHalfOpen(healthOf(account.id), use.kind));
    well.fill(standings.map((standing, place) => (isOpen[place] ? out : standing)));
    halfOpen.fill(standings.map((standing, place) => (isOpen[place] ? standing : out)));
  }
  seats.forEach((seat, index) => {
    seat.places.push({ ...use, well, halfOpen, index });
  });
  return { seats, well, halfOpen };
}

/** Makes all rolls anew when they are needed: so much has changed. */
export function forgetRolls(pool: Seats): void {
  pool.rolls.clear();
  for (const seat of pool.seats.values()) seat.places = [];
}

/** Ranks a seat anew wherever it stands. */
export function rank({ settings, guards }: Seats, seat: Seat, nowMs: number): void {
  if (!settings) return;
  for (const place of seat.places) stand(seat, place, { settings, guards }, nowMs);
}

function stand(seat: Seat, place: Place, circumstances: Circumstances, nowMs: number): void {
  const { well, halfOpen, index, kind } = place;
  const standing = standingOf(seat, place, circumstances, nowMs);
  const isOpen = isHalfOpen(healthOf(seat.account.id), kind);
  well.put(index, isOpen ? out : standing);
  halfOpen.put(index, isOpen ? standing : out);
}

/** When the first of the roll is there by itself; `Infinity`: none will be. */
export function returnAtMs({ well, halfOpen }: Roll): number {
  return Math.min(well.returnAtMs, halfOpen.returnAtMs);
}

/** What `choose` finds on the roll with the accounts in `tried` left out. */
export function withoutTried<T>(
  pool: Seats,
  roll: Roll,
  tried: ReadonlySet<string>,
  nowMs: number,
  choose: () => T,
): T {
  const { settings, guards } = pool;
  if (tried.size === 0 || !settings) return choose();
  const left = [...tried].flatMap((id) => {
    const seat = pool.seats.get(id);
    const place = seat?.places.find(({ well }) => well === roll.well);
    return seat && place ? [{ seat, place }] : [];
  });
  for (const { place } of left) {
    place.well.put(place.index, out);
    place.halfOpen.put(place.index, out);
  }
  const found = choose();
  for (const { seat, place } of left) stand(seat, place, { settings, guards }, nowMs);
  return found;
}
