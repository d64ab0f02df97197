import { healthEpochOf } from '@/features/accounts/health';
import { sqlTime } from '@/platform/db';
import { processState } from '@/platform/process-state';
import { writeLatestBehind } from '@/platform/write-behind';

/**
 * Which upstream models an account does not offer, learned from its own refusals (protocol 17.1: a
 * 400 that speaks of the model). Such a refusal may be due to what the request holds, too, so:
 *
 * - When another account then served that very request, it was the account. It is not asked for
 *   that model for a day, over restarts, too.
 * - When nobody served it, it counts for some minutes, and only of a model that no account has
 *   served for a day: else one odd request could take a good model away from all callers. What was
 *   served before this process began is not known, so for its first day every model may have been.
 *
 * Times are by the wall clock, since they are kept over restarts. One that lies further ahead than
 * any refusal lasts, since the clock was set back, counts for nothing.
 */

const PROVEN_MS = 24 * 3_600_000;
const UNPROVEN_MS = 10 * 60_000;

interface Offers {
  /** By upstream model and account: until when it is not asked. */
  refusals: Map<string, Map<string, number>>;
  /** By account: the health epoch in which its refusals were learned. */
  epochs: Map<string, number>;
  /** By upstream model: when some account last served it. */
  servedAtMs: Map<string, number>;
  beganAtMs: number;
}

function offers(): Offers {
  return processState<Offers>('offers', () => ({
    refusals: new Map(),
    epochs: new Map(),
    servedAtMs: new Map(),
    beganAtMs: Date.now(),
  }));
}

// By the epoch, so that what was under way when a command let the account begin anew comes too late.
const SAVE = `INSERT INTO "ModelRefusal" ("accountId", "upstreamModelId", "at")
  SELECT "Account"."id", "new".value->>2, ${sqlTime('"new".value->>3')}
  FROM json_each(?) AS "new" JOIN "Account"
    ON "Account"."id" = "new".value->>0 AND "Account"."healthEpoch" = "new".value->>1
  WHERE true
  ON CONFLICT ("accountId", "upstreamModelId") DO UPDATE SET "at" = excluded."at"`;

/** Until when the account is not asked for the upstream's model; 0 if it may be. */
export function refusedUntilMs(
  accountId: string,
  upstreamModelId: string | null,
  nowMs: number,
): number {
  if (upstreamModelId === null) return 0;
  const untilMs = offers().refusals.get(upstreamModelId)?.get(accountId);
  return untilMs !== undefined && isInForce(untilMs, nowMs) ? untilMs : 0;
}

function isInForce(untilMs: number, nowMs: number): boolean {
  return untilMs > nowMs && untilMs <= nowMs + PROVEN_MS;
}

/** Whether some account is known not to offer the upstream's model. */
export function isRefusedBySome(upstreamModelId: string | null): boolean {
  return upstreamModelId !== null && offers().refusals.has(upstreamModelId);
}

/** A try that the account refused for the model. */
export interface ModelRefusal {
  account: { id: string };
  healthEpoch: number;
}

/** Learns from a request that some account has served after these refusals. */
export function learnFromSuccess(
  upstreamModelId: string | null,
  refusals: readonly ModelRefusal[],
  nowMs: number,
): void {
  if (upstreamModelId === null) return;
  offers().servedAtMs.set(upstreamModelId, nowMs);
  for (const { account, healthEpoch } of refusals) {
    if (!note(upstreamModelId, { account, healthEpoch }, nowMs + PROVEN_MS)) continue;
    const row = [account.id, healthEpoch, upstreamModelId, nowMs];
    writeLatestBehind(SAVE, JSON.stringify([account.id, upstreamModelId]), row);
  }
}

/** Learns from a request that nobody has served after these refusals. */
export function learnFromFailure(
  upstreamModelId: string | null,
  refusals: readonly ModelRefusal[],
  nowMs: number,
): void {
  if (upstreamModelId === null || refusals.length === 0) return;
  const { servedAtMs, beganAtMs } = offers();
  if (nowMs - (servedAtMs.get(upstreamModelId) ?? beganAtMs) < PROVEN_MS) return;
  for (const refusal of refusals) note(upstreamModelId, refusal, nowMs + UNPROVEN_MS);
}

function note(
  upstreamModelId: string,
  { account, healthEpoch }: ModelRefusal,
  untilMs: number,
): boolean {
  // The account began anew meanwhile: by new cookies, or since the operator switched it on.
  if (healthEpoch !== healthEpochOf(account.id)) return false;
  put(offers(), upstreamModelId, account.id, untilMs);
  return true;
}

function put(state: Offers, upstreamModelId: string, accountId: string, untilMs: number): void {
  const byAccount = state.refusals.get(upstreamModelId);
  if (byAccount) byAccount.set(accountId, untilMs);
  else state.refusals.set(upstreamModelId, new Map([[accountId, untilMs]]));
}

/** The upstream models that the account is known not to offer. */
export function modelsRefusedBy(accountId: string, nowMs: number): string[] {
  return [...offers().refusals]
    .filter(([, byAccount]) => isInForce(byAccount.get(accountId) ?? 0, nowMs))
    .map(([upstreamModelId]) => upstreamModelId);
}

/**
 * Takes what rows tell of accounts that are new here or in a newer epoch, unless it lies in the
 * future. Forgets accounts that are gone, and refusals that are over.
 */
export function mergeOffers(
  accounts: readonly { id: string; healthEpoch: number }[],
  rows: readonly { accountId: string; upstreamModelId: string; at: Date }[],
  nowMs: number,
): void {
  const state = offers();
  const known = state.refusals;
  const epochs = new Map(accounts.map(({ id, healthEpoch }) => [id, healthEpoch]));
  const isMine = (id: string) => state.epochs.get(id) === epochs.get(id);
  const merged: Offers = { ...state, refusals: new Map(), epochs };
  for (const { accountId, upstreamModelId, at } of rows) {
    const untilMs = at.getTime() + PROVEN_MS;
    if (epochs.has(accountId) && !isMine(accountId) && isInForce(untilMs, nowMs)) {
      put(merged, upstreamModelId, accountId, untilMs);
    }
  }
  for (const [upstreamModelId, byAccount] of known) {
    for (const [accountId, untilMs] of byAccount) {
      if (epochs.has(accountId) && isMine(accountId) && isInForce(untilMs, nowMs)) {
        put(merged, upstreamModelId, accountId, untilMs);
      }
    }
  }
  Object.assign(state, merged);
}
