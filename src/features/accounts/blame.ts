import { noteFailure, noteSuccess, suspectOf } from '@/features/accounts/guard';
import { healthEpochOf, healthOf, setHealth } from '@/features/accounts/health';
import { learnLimit } from '@/features/accounts/ledger';
import { isDailyQuota } from '@/features/accounts/rest-rules';
import {
  currentTurn,
  poolGuards,
  refreshAll,
  refreshSeat,
  type Turn,
} from '@/features/accounts/seats';
import { afterFailure, afterSuccess, type Health, pardoned } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import type { GeminiError } from '@/gemini/errors';
import { log } from '@/platform/log';

/** What a request has done to accounts, as long as it is not sure that they are to blame. */
export interface Suspicion {
  requestId: string;
  modelId: string;
  blamed: { id: string; signature: string; before: Health; after: Health }[];
}

/** So many accounts that were well fail on one request in the same way: it is the request. */
const ACCOUNTS_TO_SUSPECT = 3;

/**
 * Decides who is to blame for a failed try, and rests the account if it is: not for what the caller
 * did, not while the pool guard knows of a common cause, and not for a request that fails
 * everywhere while others are served.
 */
export function reportFailure(
  turn: Turn,
  error: GeminiError,
  settings: Settings,
  suspicion: Suspicion,
): void {
  const { account, kind } = turn;
  const nowMs = Date.now();
  const before = healthOf(account.id);
  const signature = suspectSignature(turn, error, suspicion, nowMs);
  const isBlamed = signature !== 'common' && turn.healthEpoch === healthEpochOf(account.id);
  const use = { kind, turn: turn.turn, endTurn: currentTurn() };
  const after = isBlamed
    ? afterFailure(before, error, use, settings, nowMs, Math.random())
    : before;
  if (after !== before) setHealth(account.id, after);
  if (isBlamed && isDailyQuota(error, kind, 1)) learnLimit(account.id, kind, nowMs);
  if (signature !== null && signature !== 'common') {
    suspicion.blamed.push({ id: account.id, signature, before, after });
    forgiveAll(suspicion, signature);
  }
  if (error.fault === 'client_left') return;
  tellFailure(turn, error, healthOf(account.id), suspicion.requestId, nowMs);
}

/** What else may be to blame: `common` if it is that for sure, null if nothing else can be. */
function suspectSignature(
  { account, exit }: Turn,
  error: GeminiError,
  { modelId, blamed }: Suspicion,
  nowMs: number,
): string | null {
  const suspect = suspectOf(error, { exit, modelId });
  if (!suspect) return null;
  const verdict = noteFailure(poolGuards(), suspect, account.id, error, nowMs);
  if (verdict === 'opened') {
    const { fault, reason, message } = error;
    const common = suspect.scope.startsWith('exit ') ? 'exit' : suspect.scope;
    log().warn({ common, fault, reason, message }, 'pool guard opened: many accounts fail alike');
    // Nobody needs a human since an exit was turned away. Rests are short, and stay.
    if (fault === 'credential') pardonAll(poolGuards().get(suspect.scope)?.accounts ?? []);
    refreshAll();
  }
  if (verdict !== 'closed') return 'common';
  const isSuspect =
    blamed.filter(({ signature }) => signature === suspect.signature).length >= ACCOUNTS_TO_SUSPECT;
  return isSuspect ? 'common' : error.fault === 'upstream' ? suspect.signature : null;
}

function pardonAll(ids: readonly string[]): void {
  for (const id of ids) setHealth(id, pardoned(healthOf(id)));
}

/** Takes the rests back once the request is suspect; the accounts are half open until they serve. */
function forgiveAll({ blamed }: Suspicion, signature: string): void {
  const alike = blamed.filter((each) => each.signature === signature);
  if (alike.length !== ACCOUNTS_TO_SUSPECT || alike.some(({ before }) => before.fault !== null)) {
    return;
  }
  for (const { id, after } of alike) {
    if (healthOf(id) !== after) continue;
    setHealth(id, pardoned(after));
    refreshSeat(id);
  }
}

function tellFailure(
  { account }: Turn,
  { fault, status, reason, message }: GeminiError,
  { condition, rests }: Health,
  requestId: string,
  nowMs: number,
): void {
  const restMs = Object.fromEntries(
    Object.entries(rests).map(([kind, { untilMs }]) => [kind, Math.max(0, (untilMs ?? 0) - nowMs)]),
  );
  log().warn(
    { requestId, account: account.label, fault, status, reason, message, condition, restMs },
    'try failed',
  );
}

/** Takes note that the account answers: what was wrong with it, or with all alike, is over. */
export function reportSuccess(
  { account, kind, turn, healthEpoch, exit }: Turn,
  modelId: string,
): void {
  const closed = noteSuccess(poolGuards(), { exit, modelId });
  if (closed.length > 0) {
    log().info({ common: closed.map((scope) => scope.split(' ')[0]) }, 'pool guard closed');
    refreshAll();
  }
  if (healthEpoch !== healthEpochOf(account.id)) return;
  const health = healthOf(account.id);
  const next = afterSuccess(health, { kind, turn, endTurn: currentTurn() });
  if (next === health) return;
  setHealth(account.id, next);
  refreshSeat(account.id);
  log().info({ account: account.label }, 'account serves again');
}
