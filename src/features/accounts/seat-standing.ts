import type { Account } from '@/features/accounts/account-table';
import { type Guards, probeAtMs } from '@/features/accounts/guard';
import { healthOf } from '@/features/accounts/health';
import { headroomOf, leftOf, quotaDayEndMs, spentUntilMs } from '@/features/accounts/ledger';
import { refusedUntilMs } from '@/features/accounts/offers';
import type { Roster, Standing } from '@/features/accounts/roster';
import { type Candidate, rankOf } from '@/features/accounts/selection';
import { askableFromMs, isHalfOpen } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import type { QuotaKind } from '@/gemini/tools';

/** An account as the pool uses it. */
export interface Seat {
  account: Account;
  /** The order in which the accounts came. */
  position: number;
  /** Where it goes out: a key, not to be printed. */
  exit: string;
  /** That of the health it was last ranked by after a change of its row. */
  healthEpoch: number;
  inFlight: number;
  /** Its place in virtual time. */
  pass: number;
  /** The turns that probe it while it is half open, by kind. */
  probes: Partial<Record<QuotaKind, number>>;
  /** When a request took it last, by `performance.now`. */
  usedAtMs: number;
  /** When each text turn began that has no word of an answer yet, oldest first. */
  unanswered: Map<number, number>;
  /** Where it stands in the rosters. */
  places: Place[];
}

/** What a roll is for. */
export interface Use {
  kind: QuotaKind;
  /** Null: several models, or the upstream is not told one. */
  upstreamModelId: string | null;
}

/** Where a seat stands on one roll. */
export interface Place extends Use {
  well: Roster;
  halfOpen: Roster;
  index: number;
}

/** What else a standing depends on. */
export interface Circumstances {
  settings: Settings;
  guards: Guards;
}

/** A request that waits longer for its first word shows that others should go elsewhere. */
const SLOW_AFTER_MS = 5_000;
const NEVER = Number.POSITIVE_INFINITY;

/** Out of the roster, until an event changes it. */
export const out: Standing = outUntil(NEVER, NEVER);

function outUntil(wakeAtMs: number, returnAtMs: number): Standing {
  return { isReady: false, major: 0, minor: 0, weight: 0, wakeAtMs, returnAtMs };
}

/** From when on the seat may be asked for `kind`; `Infinity`: not by itself. */
export function seatFromMs(
  { account, exit }: Seat,
  kind: QuotaKind,
  { settings, guards }: Circumstances,
  nowMs: number,
): number {
  const fromMs = askableFromMs(account.enabled, healthOf(account.id), kind);
  if (fromMs === null) return NEVER;
  const guardMs = guards.size > 0 ? probeAtMs(guards, `exit ${exit}`) : 0;
  return Math.max(fromMs, spentUntilMs(account, kind, settings, nowMs), guardMs);
}

/** How the seat stands among those that could serve `kind` by that model. */
export function standingOf(
  seat: Seat,
  { kind, upstreamModelId }: Use,
  circumstances: Circumstances,
  nowMs: number,
): Standing {
  const { settings } = circumstances;
  const refusedMs = refusedUntilMs(seat.account.id, upstreamModelId, nowMs);
  // Nobody is told to wait for an account that does not offer the model.
  if (refusedMs > nowMs) return outUntil(refusedMs, NEVER);
  const fromMs = seatFromMs(seat, kind, circumstances, nowMs);
  if (fromMs === NEVER) return out;
  const health = healthOf(seat.account.id);
  // Who waits for an account is not told to wait for one that a human has to mend.
  const returnAtMs = health.condition === 'ok' ? fromMs : NEVER;
  if (fromMs > nowMs) return outUntil(fromMs, returnAtMs);
  if (isBusy(seat, kind, settings, nowMs)) return outUntil(NEVER, returnAtMs);
  const candidate = candidateOf(seat, kind, settings, nowMs);
  const slowAtMs = candidate.isSlow ? NEVER : slowFromMs(seat);
  const dayEndMs = candidate.headroom < 1 ? quotaDayEndMs(nowMs) : NEVER;
  const { major, minor, weight } = rankOf(settings.selectionStrategy, candidate);
  const wakeAtMs = Math.min(slowAtMs, dayEndMs);
  return { isReady: true, major, minor, weight, wakeAtMs, returnAtMs };
}

/** Whether the seat can take no more until something that is under way on it has ended. */
function isBusy(seat: Seat, kind: QuotaKind, settings: Settings, nowMs: number): boolean {
  const { account, inFlight, probes, unanswered } = seat;
  const limit = account.maxConcurrent ?? settings.maxConcurrentPerAccount;
  if (limit !== null && inFlight >= limit) return true;
  const isProbed = probes.text !== undefined || probes[kind] !== undefined;
  if (isProbed && isHalfOpen(healthOf(account.id), kind)) return true;
  // What is under way will count, too.
  const left = leftOf(account, kind, settings, nowMs);
  return left !== null && (kind === 'text' ? unanswered.size : inFlight) >= left;
}

/** The seat as the choice sees it. */
export function candidateOf(
  seat: Seat,
  kind: QuotaKind,
  settings: Settings,
  nowMs: number,
): Candidate {
  const { position, inFlight, pass, account } = seat;
  const headroom = headroomOf(account, kind, settings, nowMs);
  const isSlow = slowFromMs(seat) <= nowMs;
  return { position, weight: account.weight, inFlight, pass, headroom, isSlow };
}

/** When the account counts as slow, since a request waits for its first word there. */
function slowFromMs({ unanswered }: Seat): number {
  if (unanswered.size === 0) return NEVER;
  return (unanswered.values().next().value ?? NEVER) + SLOW_AFTER_MS;
}
