import { type Account, allAccounts } from '@/features/accounts/account-table';
import { forgetCredentials } from '@/features/accounts/credentials';
import { exitOf } from '@/features/accounts/exit';
import {
  type Guard,
  type Guards,
  moveProbes,
  probeAtMs,
  type Scope,
  takeProbe,
} from '@/features/accounts/guard';
import { followClock, healthEpochOf, healthOf } from '@/features/accounts/health';
import { Roster } from '@/features/accounts/roster';
import {
  candidateOf,
  out,
  type Seat,
  seatFromMs,
  standingOf,
} from '@/features/accounts/seat-standing';
import { effectiveWeight } from '@/features/accounts/selection';
import { isHalfOpen } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import type { GeminiError } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';
import { processState } from '@/platform/process-state';

/**
 * The accounts as the pool uses them: what is under way on each, and whose turn it is. One roster
 * for each kind of use and each set of accounts that may serve; all are kept up to date by events
 * and by the clock, so that taking a seat looks at a handful of accounts and not at all of them.
 */

/** Which accounts are asked for. */
export interface SeatNeed {
  kind: QuotaKind;
  modelId: string;
  /** The accounts that may serve it; empty: every account. */
  accountIds: readonly string[];
}

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

interface Roll {
  accountIds: readonly string[];
  roster: Roster;
  seats: Seat[];
}

interface Seats {
  /** Those of the last call; null before the first. */
  accounts: ReadonlyMap<string, Account> | null;
  settings: Settings | null;
  seats: Map<string, Seat>;
  rolls: Map<string, Roll>;
  guards: Guards;
  turns: number;
  virtualTime: number;
}

function state(): Seats {
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

/** What the guard watches. */
export function poolGuards(): Guards {
  return state().guards;
}

/** The turn of the pool: how many tries there were so far. */
export function currentTurn(): number {
  return state().turns;
}

/**
 * Takes the account that is next for `need`, other than those in `tried`; the caller must `leave`
 * it. `accounts` and `settings` are those in force.
 */
export function takeSeat(
  need: SeatNeed,
  tried: ReadonlySet<string>,
  accounts: ReadonlyMap<string, Account>,
  settings: Settings,
): Turn | Absence {
  const pool = state();
  follow(pool, accounts, settings);
  const nowMs = Date.now();
  const roll = rollOf(pool, need, nowMs);
  const { roster, seats } = roll;
  const shut = shutGuard(pool.guards, ['upstream', `model ${need.modelId}`], nowMs);
  if (shut && roster.returnAtMs !== Number.POSITIVE_INFINITY) {
    return { returnInMs: inMs(shut.probeAtMs, nowMs), guard: shut.failure };
  }
  const { seat, returnAtMs } = without(pool, roll, need.kind, tried, nowMs, () => {
    const isRandom = settings.selectionStrategy === 'weighted_random';
    return seats[isRandom ? roster.draw(Math.random()) : roster.first()];
  });
  if (seat) return claim(pool, seat, need, settings, nowMs);
  const exits = [...pool.guards.keys()].filter((scope) => scope.startsWith('exit '));
  const shutExit = shutGuard(pool.guards, exits, nowMs);
  const guard = shutExit?.probeAtMs === returnAtMs ? shutExit.failure : null;
  return { returnInMs: inMs(returnAtMs, nowMs), guard };
}

/** Until the first account of `need` is there by itself, as `Absence` has it, tried or not. */
export function soonestInMs(need: SeatNeed): number | null {
  const nowMs = Date.now();
  return inMs(rollOf(state(), need, nowMs).roster.returnAtMs, nowMs);
}

function inMs(timeMs: number, nowMs: number): number | null {
  return Number.isFinite(timeMs) ? Math.max(0, timeMs - nowMs) : null;
}

/** The first of these guards through which nothing goes now. */
function shutGuard(guards: Guards, scopes: Scope[], nowMs: number): Guard['open'] {
  if (guards.size === 0) return null;
  const scope = scopes.find((each) => probeAtMs(guards, each) > nowMs);
  return (scope && guards.get(scope)?.open) ?? null;
}

/** What `choose` finds, and when the first comes back, with the accounts in `tried` left out. */
function without(
  pool: Seats,
  { roster, seats }: Roll,
  kind: QuotaKind,
  tried: ReadonlySet<string>,
  nowMs: number,
  choose: () => Seat | undefined,
): { seat: Seat | undefined; returnAtMs: number } {
  if (tried.size === 0) return { seat: choose(), returnAtMs: roster.returnAtMs };
  const left = [...tried].flatMap((id) => {
    const seat = pool.seats.get(id);
    const place = seat?.places.find((each) => each.roster === roster)?.place;
    return place === undefined ? [] : [place];
  });
  for (const place of left) roster.put(place, out);
  const found = { seat: choose(), returnAtMs: roster.returnAtMs };
  for (const place of left) {
    const seat = seats[place];
    if (seat) stand(pool, seat, { roster, place, kind }, nowMs);
  }
  return found;
}

function claim(
  pool: Seats,
  seat: Seat,
  { kind, modelId }: SeatNeed,
  settings: Settings,
  nowMs: number,
): Turn {
  const { account, exit } = seat;
  pool.turns += 1;
  seat.inFlight += 1;
  // Media take their time.
  if (kind === 'text') seat.unanswered.set(pool.turns, nowMs);
  // Stride scheduling: whoever was away joins at the present, and does not make up for it.
  pool.virtualTime = Math.max(pool.virtualTime, seat.pass);
  seat.pass = pool.virtualTime + 1 / effectiveWeight(candidateOf(seat, kind, settings, nowMs));
  if (isHalfOpen(healthOf(account.id), kind)) seat.probe = pool.turns;
  const { guards } = pool;
  if (guards.size > 0) {
    takeProbe(guards, 'upstream', nowMs);
    takeProbe(guards, `model ${modelId}`, nowMs);
    if (probeAtMs(guards, `exit ${exit}`) > 0) {
      takeProbe(guards, `exit ${exit}`, nowMs);
      refreshAll();
    }
  }
  refresh(pool, seat, nowMs);
  return { account, kind, turn: pool.turns, healthEpoch: healthEpochOf(account.id), exit };
}

/** Takes note that the account answers, and has used some of its quota. */
export function answered({ account, turn }: Turn): void {
  const pool = state();
  const seat = pool.seats.get(account.id);
  if (!seat) return;
  seat.unanswered.delete(turn);
  refresh(pool, seat, Date.now());
}

/** Gives a seat back, once. */
export function leave({ account, turn }: Turn): void {
  const pool = state();
  const seat = pool.seats.get(account.id);
  // Deleted, or deleted and added again, while it was in use.
  if (!seat || seat.inFlight === 0) return;
  seat.inFlight -= 1;
  seat.unanswered.delete(turn);
  if (seat.probe === turn) seat.probe = null;
  refresh(pool, seat, Date.now());
}

/** Ranks an account anew after its health, its quota or a guard has changed. */
export function refreshSeat(id: string): void {
  const pool = state();
  const seat = pool.seats.get(id);
  if (seat) refresh(pool, seat, Date.now());
}

/** Ranks all accounts anew, when they are needed. */
export function refreshAll(): void {
  const pool = state();
  pool.rolls.clear();
  for (const seat of pool.seats.values()) seat.places = [];
}

/** Whether an account could be asked for a text now. */
export async function hasReadySeat(settings: Settings): Promise<boolean> {
  const pool = state();
  follow(pool, await allAccounts(), settings);
  const nowMs = Date.now();
  const { guards } = pool;
  if (probeAtMs(guards, 'upstream') > 0) return false;
  return [...pool.seats.values()].some(
    (seat) =>
      seatFromMs(seat, 'text', { settings, guards }, nowMs) <= nowMs &&
      healthOf(seat.account.id).condition === 'ok',
  );
}

/** Follows what has changed of accounts, settings and clock since the last call. */
function follow(pool: Seats, accounts: ReadonlyMap<string, Account>, settings: Settings): void {
  const jumpMs = followClock();
  if (jumpMs !== 0) moveProbes(pool.guards, jumpMs);
  if (jumpMs === 0 && pool.accounts === accounts && pool.settings === settings) return;
  const known = pool.seats;
  if (pool.accounts !== accounts) forgetCredentials(accounts);
  pool.accounts = accounts;
  pool.settings = settings;
  pool.rolls = new Map();
  pool.seats = new Map();
  for (const account of accounts.values()) {
    const unanswered = new Map<number, number>();
    const idle = { inFlight: 0, pass: 0, probe: null, unanswered };
    const position = pool.seats.size;
    const exit = exitKeyOf(account, settings);
    const underWay = known.get(account.id) ?? idle;
    for (const [turn, atMs] of underWay.unanswered) underWay.unanswered.set(turn, atMs + jumpMs);
    pool.seats.set(account.id, { ...underWay, account, position, exit, places: [] });
  }
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

/** The roster of those who may serve `need`, with all in it whose rest is over by now. */
function rollOf(pool: Seats, need: SeatNeed, nowMs: number): Roll {
  const name = groupOf(need);
  const known = pool.rolls.get(name);
  const isCurrent = known && (need.accountIds.length === 0 || known.accountIds === need.accountIds);
  const roll = isCurrent ? known : makeRoll(pool, need, nowMs);
  if (known && known !== roll) forget(pool, known);
  pool.rolls.set(name, roll);
  const { roster, seats } = roll;
  for (let place = roster.due(nowMs); place >= 0; place = roster.due(nowMs)) {
    const seat = seats[place];
    if (seat) refresh(pool, seat, nowMs);
  }
  return roll;
}

/** Names the accounts that may serve `need`: requests with the same name want the same ones. */
function groupOf({ kind, modelId, accountIds }: SeatNeed): string {
  return accountIds.length === 0 ? kind : `${kind} ${modelId}`;
}

function makeRoll(pool: Seats, { kind, accountIds }: SeatNeed, nowMs: number): Roll {
  const allowed = new Set(accountIds);
  const seats = [...pool.seats.values()].filter(
    ({ account }) => allowed.size === 0 || allowed.has(account.id),
  );
  const roster = new Roster(seats.length);
  seats.forEach((seat, place) => {
    seat.places.push({ roster, place, kind });
  });
  const { settings, guards } = pool;
  if (settings) {
    roster.fill(seats.map((seat) => standingOf(seat, kind, { settings, guards }, nowMs)));
  }
  return { accountIds, roster, seats };
}

function forget(pool: Seats, { roster }: Roll): void {
  for (const seat of pool.seats.values()) {
    seat.places = seat.places.filter((each) => each.roster !== roster);
  }
}

function refresh(pool: Seats, seat: Seat, nowMs: number): void {
  for (const place of seat.places) stand(pool, seat, place, nowMs);
}

/** Ranks a seat anew in one roster. */
function stand(
  { settings, guards }: Seats,
  seat: Seat,
  { roster, place, kind }: Seat['places'][number],
  nowMs: number,
): void {
  if (settings) roster.put(place, standingOf(seat, kind, { settings, guards }, nowMs));
}
