import type { Account } from '@/features/accounts/account-table';
import {
  type Guard,
  type Guards,
  isAnyOpen,
  probeAtMs,
  type Scope,
  takeProbe,
} from '@/features/accounts/guard';
import { healthEpochOf, healthOf } from '@/features/accounts/health';
import { refusedUntilMs } from '@/features/accounts/offers';
import {
  forgetRolls,
  type Roll,
  rank,
  returnAtMs,
  rollOf,
  type SeatNeed,
  type Seats,
  withoutTried,
} from '@/features/accounts/rolls';
import type { Roster } from '@/features/accounts/roster';
import { candidateOf, type Seat, seatFromMs, standingOf } from '@/features/accounts/seat-standing';
import { currentSeats, knownSeats } from '@/features/accounts/seat-table';
import { effectiveWeight } from '@/features/accounts/selection';
import { isHalfOpen } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import type { GeminiError } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';

/**
 * Whose turn it is. Accounts stand in rolls, one for each kind of use and each set of accounts that
 * may serve, which events and the clock keep in order, so that taking a seat looks at a handful of
 * accounts and not at all of them.
 */

/** An account taken for one try. */
export interface Turn {
  account: Account;
  kind: QuotaKind;
  /** Grows by one with each turn of the pool. */
  turn: number;
  healthEpoch: number;
  /** Through which it goes out: a key, not to be printed. */
  exit: string;
}

/** Why no seat was taken. */
export interface Absence {
  /** Until one that was not tried is there by itself, 0 if one is merely busy; null: none will be. */
  returnInMs: number | null;
  /** The failure for which the guard has closed the way. */
  guard: GeminiError | null;
}

/** What the guard watches. */
export function poolGuards(): Guards {
  return knownSeats().guards;
}

/** The turn of the pool: how many tries there were so far. */
export function currentTurn(): number {
  return knownSeats().turns;
}

export interface SeatOptions {
  /** The accounts that this request was tried on. */
  tried: ReadonlySet<string>;
  /** The request has opened a guard, and goes on through its own tries. */
  passesGuard: boolean;
}

/**
 * Takes the account that is next for `need`; the caller must `releaseSeat` it. `accounts` and
 * `settings` are those in force.
 */
export function takeSeat(
  need: SeatNeed,
  { tried, passesGuard }: SeatOptions,
  accounts: ReadonlyMap<string, Account>,
  settings: Settings,
): Turn | Absence {
  const pool = currentSeats(accounts, settings);
  const nowMs = Date.now();
  const roll = rollOf(pool, need, nowMs);
  if (passesGuard) {
    const seat = nextPastGuard(roll, need, tried, settings, nowMs);
    if (seat) return claim(pool, seat, need, settings, nowMs);
  }
  const shut = shutGuard(pool.guards, ['upstream', `model ${need.modelId}`], nowMs);
  // A first try may probe one that has failed; after that the request had its share of those.
  const mayProbe = tried.size === 0 && !isAnyOpen(pool.guards);
  const choose = () =>
    preferredSeat(pool, roll, need, settings, nowMs) ?? next(roll, mayProbe, settings);
  const { seat, backAtMs } = withoutTried(pool, roll, tried, nowMs, () => ({
    seat: shut ? undefined : choose(),
    backAtMs: returnAtMs(roll),
  }));
  if (seat) {
    takeProbes(pool, seat.exit, need.modelId, nowMs);
    return claim(pool, seat, need, settings, nowMs);
  }
  if (backAtMs === Number.POSITIVE_INFINITY) return { returnInMs: null, guard: null };
  if (shut) {
    const freeAtMs = Math.max(shut.probeAtMs, backAtMs);
    return { returnInMs: Math.max(0, freeAtMs - nowMs), guard: shut.failure };
  }
  const guard = guardUntil(pool.guards, backAtMs)?.failure ?? null;
  return { returnInMs: Math.max(0, backAtMs - nowMs), guard };
}

/** The account that `need` prefers, if nothing speaks against it: one that has failed is not it. */
function preferredSeat(
  { seats }: Seats,
  { well }: Roll,
  { kind, preferredId = null }: SeatNeed,
  settings: Settings,
  nowMs: number,
): Seat | null {
  const seat = preferredId === null ? undefined : seats.get(preferredId);
  const place = seat?.places.find((each) => each.well === well);
  if (!seat || !place || !well.isReady(place.index)) return null;
  const { isSlow, headroom } = candidateOf(seat, kind, settings, nowMs);
  return isSlow || headroom === 0 ? null : seat;
}

/** The next seat: well and half-open ones alike if the request may probe, else well ones first. */
function next(roll: Roll, mayProbe: boolean, settings: Settings): Seat | undefined {
  const { seats, well, halfOpen } = roll;
  const isRandom = settings.selectionStrategy === 'weighted_random';
  const of = (roster: Roster) => seats[isRandom ? roster.draw(Math.random()) : roster.first()];
  if (!mayProbe || halfOpen.first() < 0) return of(well) ?? of(halfOpen);
  const isProbeNext = isRandom
    ? Math.random() * (well.weight + halfOpen.weight) < halfOpen.weight
    : halfOpen.isAheadOf(well);
  return isProbeNext ? of(halfOpen) : of(well);
}

/** The best of those that only a guard keeps out, found by looking at all. */
function nextPastGuard(
  { seats }: Roll,
  { kind, upstreamModelId }: SeatNeed,
  tried: ReadonlySet<string>,
  settings: Settings,
  nowMs: number,
): Seat | undefined {
  const circumstances = { settings, guards: new Map() };
  const ready = seats
    .filter(({ account }) => !tried.has(account.id))
    .map((seat) => ({ seat, ...standingOf(seat, { kind, upstreamModelId }, circumstances, nowMs) }))
    .filter(({ isReady }) => isReady);
  const isWell = ({ seat }: { seat: Seat }) => !isHalfOpen(healthOf(seat.account.id), kind);
  ready.sort(
    (one, other) =>
      Number(isWell(other)) - Number(isWell(one)) ||
      one.major - other.major ||
      one.minor - other.minor,
  );
  return ready[0]?.seat;
}

/** Until the first account of `need` is there by itself, as `Absence` has it, tried or not. */
export function soonestInMs(need: SeatNeed): number | null {
  const nowMs = Date.now();
  const atMs = returnAtMs(rollOf(knownSeats(), need, nowMs));
  return Number.isFinite(atMs) ? Math.max(0, atMs - nowMs) : null;
}

/** Whether there are accounts that could serve `need` if they offered its model. */
export function isModelLacking(need: SeatNeed): boolean {
  const pool = knownSeats();
  const { settings, guards } = pool;
  const nowMs = Date.now();
  if (!settings) return false;
  return rollOf(pool, need, nowMs).seats.some(
    (seat) =>
      refusedUntilMs(seat.account.id, need.upstreamModelId, nowMs) > nowMs &&
      healthOf(seat.account.id).condition === 'ok' &&
      Number.isFinite(seatFromMs(seat, need.kind, { settings, guards }, nowMs)),
  );
}

/** Of these guards the one that lets nothing through for the longest time. */
function shutGuard(guards: Guards, scopes: Scope[], nowMs: number): Guard['open'] {
  if (guards.size === 0) return null;
  const [longest] = scopes
    .flatMap((scope) => guards.get(scope)?.open ?? [])
    .filter((open) => open.probeAtMs > nowMs)
    .sort((one, other) => other.probeAtMs - one.probeAtMs);
  return longest ?? null;
}

/** The guard that is the reason why nobody is there before `timeMs`. */
function guardUntil(guards: Guards, timeMs: number): Guard['open'] {
  for (const { open } of guards.values()) if (open?.probeAtMs === timeMs) return open;
  return null;
}

function claim(
  pool: Seats,
  seat: Seat,
  { kind, preferredId }: SeatNeed,
  settings: Settings,
  nowMs: number,
): Turn {
  const { account, exit } = seat;
  pool.turns += 1;
  seat.inFlight += 1;
  seat.usedAtMs = performance.now();
  // Media take their time.
  if (kind === 'text') seat.unanswered.set(pool.turns, nowMs);
  // Stride scheduling: whoever was away joins at the present, and does not make up for it.
  const pass = Math.max(pool.virtualTime, seat.pass);
  // One that is taken out of turn does not move the others on: they get theirs before its next.
  if (account.id !== preferredId) pool.virtualTime = pass;
  seat.pass = pass + 1 / effectiveWeight(candidateOf(seat, kind, settings, nowMs));
  if (isHalfOpen(healthOf(account.id), kind)) seat.probes[kind] = pool.turns;
  rank(pool, seat, nowMs);
  return { account, kind, turn: pool.turns, healthEpoch: healthEpochOf(account.id), exit };
}

function takeProbes(pool: Seats, exit: string, modelId: string, nowMs: number): void {
  const { guards } = pool;
  if (guards.size === 0) return;
  takeProbe(guards, 'upstream', nowMs);
  takeProbe(guards, `model ${modelId}`, nowMs);
  if (probeAtMs(guards, `exit ${exit}`) === 0) return;
  takeProbe(guards, `exit ${exit}`, nowMs);
  for (const seat of pool.seats.values()) if (seat.exit === exit) rank(pool, seat, nowMs);
}

/** Takes note that the account answers, and has used some of its quota. */
export function answered({ account, turn }: Turn): void {
  const pool = knownSeats();
  const seat = pool.seats.get(account.id);
  if (!seat) return;
  seat.unanswered.delete(turn);
  rank(pool, seat, Date.now());
}

/** Gives a seat back, once. */
export function releaseSeat({ account, turn, kind }: Turn): void {
  const pool = knownSeats();
  const seat = pool.seats.get(account.id);
  // Deleted, or deleted and added again, while it was in use.
  if (!seat || seat.inFlight === 0) return;
  seat.inFlight -= 1;
  seat.unanswered.delete(turn);
  if (seat.probes[kind] === turn) delete seat.probes[kind];
  rank(pool, seat, Date.now());
}

/** Ranks an account anew after its health, its quota or a guard has changed. */
export function refreshSeat(id: string): void {
  const pool = knownSeats();
  const seat = pool.seats.get(id);
  if (seat) rank(pool, seat, Date.now());
}

/** Ranks all accounts anew, when they are needed. */
export function refreshAll(): void {
  forgetRolls(knownSeats());
}
