import { noteFailure, noteSuccess, type Suspect, suspectOf } from '@/features/accounts/guard';
import { healthEpochOf, healthOf, setHealth } from '@/features/accounts/health';
import { learnLimit } from '@/features/accounts/ledger';
import { faultsOfContent, isDailyQuota } from '@/features/accounts/rest-rules';
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
  blamed: { id: string; signature: string; after: Health }[];
  /** It has opened a guard: it goes on through its own tries, since others may still be well. */
  openedGuard: boolean;
}

/** When so many accounts fail alike on one request, it is suspect itself, and rests nobody more. */
const ACCOUNTS_TO_SUSPECT = 3;

/**
 * Decides who is to blame for a failed try, and rests the account if it is: not for what the caller
 * did, not while the pool guard knows of a common cause, and not for a request that fails
 * everywhere.
 */
export function reportFailure(
  turn: Turn,
  error: GeminiError,
  settings: Settings,
  suspicion: Suspicion,
): void {
  const { account, kind, healthEpoch, exit } = turn;
  const nowMs = Date.now();
  const before = healthOf(account.id);
  const suspect = suspectOf(error, { exit, modelId: suspicion.modelId, kind });
  const cause = causeOf(turn, error, suspect, suspicion, nowMs);
  if (healthEpoch === healthEpochOf(account.id)) {
    const use = { kind, turn: turn.turn, endTurn: currentTurn() };
    const blamed = afterFailure(before, error, use, settings, nowMs, Math.random());
    // Behind a guard nobody knows how the account itself is.
    const doubted = before.fault === null ? pardoned(blamed) : before;
    const after = { account: blamed, guarded: doubted, request: before }[cause];
    if (after !== before) setHealth(account.id, after);
    if (cause === 'account' && isDailyQuota(error, kind, 1)) learnLimit(account.id, kind, nowMs);
    suspicion.blamed.push({ id: account.id, signature: signatureOf(error), after });
    if (faultsOfContent.has(error.fault)) forgiveAll(suspicion, signatureOf(error));
  }
  if (error.fault !== 'client_left') logFailure(turn, error, suspicion.requestId, nowMs);
}

function signatureOf({ fault, status, reason }: GeminiError): string {
  return `${fault} ${status} ${reason}`;
}

/** Who is to blame: the account, what a guard watches and all share, or this very request. */
function causeOf(
  { account }: Turn,
  error: GeminiError,
  suspect: Suspect | null,
  suspicion: Suspicion,
  nowMs: number,
): 'account' | 'guarded' | 'request' {
  const guards = poolGuards();
  const wasWell = healthOf(account.id).fault === null;
  if (suspect) {
    const failed = { accountId: account.id, requestId: suspicion.requestId, wasWell };
    const verdict = noteFailure(guards, suspect, failed, error, nowMs);
    if (verdict === 'opened') {
      suspicion.openedGuard = true;
      openGuard(suspect, error);
    }
    if (verdict !== 'closed') return 'guarded';
  }
  // A token without an answer is a refusal by protocol 12.1, but a prompt may bring it about, too.
  const isOfContent = faultsOfContent.has(error.fault) || error.reason === 'TOKEN_ONLY';
  if (!wasWell || !isOfContent) return 'account';
  const signature = signatureOf(error);
  const alike = suspicion.blamed.filter((each) => each.signature === signature);
  return alike.length >= ACCOUNTS_TO_SUSPECT - 1 ? 'request' : 'account';
}

function openGuard({ scope }: Suspect, { fault, reason, message }: GeminiError): void {
  const common = scope.startsWith('exit ') ? 'exit' : scope;
  log().warn({ common, fault, reason, message }, 'pool guard opened: many accounts fail alike');
  // Nobody needs a human since an exit was turned away. Rests are short, and stay.
  if (fault === 'credential') {
    for (const id of poolGuards().get(scope)?.accounts ?? []) setHealth(id, pardoned(healthOf(id)));
  }
  refreshAll();
}

/** Takes the rests back once the request is suspect; the accounts are half open until they serve. */
function forgiveAll({ blamed }: Suspicion, signature: string): void {
  const alike = blamed.filter((each) => each.signature === signature);
  if (alike.length !== ACCOUNTS_TO_SUSPECT) return;
  for (const { id, after } of alike) {
    if (healthOf(id) !== after) continue;
    setHealth(id, pardoned(after));
    refreshSeat(id);
  }
}

function logFailure({ account }: Turn, error: GeminiError, requestId: string, nowMs: number): void {
  const { fault, status, reason, message } = error;
  const { condition, rests } = healthOf(account.id);
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
