import { nextPacificMidnight, pacificDay } from '@/features/accounts/pacific-day';
import { afterRefusal, afterUse, leftOn, type Quota, usedOn } from '@/features/accounts/quota';
import type { Settings } from '@/features/settings/schema';
import { type QuotaKind, quotaKinds } from '@/gemini/tools';
import { processState } from '@/platform/process-state';
import { addBehind, writeBehind } from '@/platform/write-behind';

/**
 * What each account has done today, by kind: live in this process, and a second later in its rows.
 * Rows are added to, not replaced, since a command may use an account beside the server.
 */

/** What of an account is needed here. */
interface Limited {
  id: string;
  /** Uses a day; null: as the setting says. */
  limits: Readonly<Record<QuotaKind, number | null>>;
}

type Quotas = Partial<Record<QuotaKind, Quota>>;

interface Ledger {
  byAccount: Map<string, Quotas>;
  /** The Pacific day that the clock was last seen in. */
  day: string;
  beganAtMs: number;
  endsAtMs: number;
}

function ledger(): Ledger {
  return processState<Ledger>('quota-ledger', () => ({
    byAccount: new Map(),
    day: '',
    beganAtMs: 0,
    endsAtMs: 0,
  }));
}

/** The day of `nowMs`, by the calendar only when the day or the clock has changed. */
function dayAt(nowMs: number): Ledger {
  const state = ledger();
  if (nowMs >= state.endsAtMs || nowMs < state.beganAtMs) {
    state.day = pacificDay(nowMs);
    state.beganAtMs = nowMs;
    state.endsAtMs = nextPacificMidnight(nowMs);
  }
  return state;
}

/** When the quotas of today start anew. */
export function quotaDayEndMs(nowMs: number): number {
  return dayAt(nowMs).endsAtMs;
}

const ADD = `INSERT INTO "AccountQuota" ("accountId", "kind", "day", "used", "learnedLimit")
  SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)
  WHERE value->>0 IN (SELECT "id" FROM "Account")
  ON CONFLICT ("accountId", "kind") DO UPDATE SET
    "used" = excluded."used" + CASE WHEN "day" = excluded."day" THEN "used" ELSE 0 END,
    "day" = excluded."day",
    "learnedLimit" = coalesce(excluded."learnedLimit", "learnedLimit")`;

function change(id: string, kind: QuotaKind, quota: Quota, count: number): void {
  const { byAccount } = ledger();
  const before = byAccount.get(id)?.[kind]?.learnedLimit ?? null;
  const quotas = byAccount.get(id) ?? {};
  quotas[kind] = quota;
  byAccount.set(id, quotas);
  const key = [id, kind, quota.day];
  if (count > 0) addBehind(ADD, key.join(' '), key, [count]);
  if (quota.learnedLimit !== before) writeBehind(ADD, [...key, 0, quota.learnedLimit]);
}

/** Counts what the upstream really did on the account. */
export function countUse(id: string, kind: QuotaKind, nowMs: number): void {
  const { day, byAccount } = dayAt(nowMs);
  change(id, kind, afterUse(byAccount.get(id)?.[kind], day, 1), 1);
}

/** Learns from a refusal for the day how much there was. */
export function learnLimit(id: string, kind: QuotaKind, nowMs: number): void {
  const { day, byAccount } = dayAt(nowMs);
  change(id, kind, afterRefusal(byAccount.get(id)?.[kind], day), 0);
}

const limitSettings = {
  text: 'textDailyLimit',
  images: 'imagesDailyLimit',
  videos: 'videosDailyLimit',
} as const satisfies Record<QuotaKind, keyof Settings>;

function limitOf(account: Limited, kind: QuotaKind, settings: Settings): number | null {
  return account.limits[kind] ?? settings[limitSettings[kind]];
}

/**
 * Until when the account may not be used for `kind` since the operator's limit is reached; 0 if it
 * is not. A learned limit forbids nothing: it may have been another one's use that spent it.
 */
export function spentUntilMs(
  account: Limited,
  kind: QuotaKind,
  settings: Settings,
  nowMs: number,
): number {
  const isSpent =
    leftOf(account, 'text', settings, nowMs) === 0 ||
    (kind !== 'text' && leftOf(account, kind, settings, nowMs) === 0);
  return isSpent ? quotaDayEndMs(nowMs) : 0;
}

/** What the operator's limit leaves the account of `kind` today; null: there is no such limit. */
export function leftOf(
  account: Limited,
  kind: QuotaKind,
  settings: Settings,
  nowMs: number,
): number | null {
  const limit = limitOf(account, kind, settings);
  if (limit === null) return null;
  const { day, byAccount } = dayAt(nowMs);
  return leftOn(byAccount.get(account.id)?.[kind], limit, day);
}

/** The share of its daily quota that the account has left for `kind`, from 0 to 1; 1 if not known. */
export function headroomOf(
  account: Limited,
  kind: QuotaKind,
  settings: Settings,
  nowMs: number,
): number {
  const { day, byAccount } = dayAt(nowMs);
  const quota = byAccount.get(account.id)?.[kind];
  const limit = limitOf(account, kind, settings) ?? quota?.learnedLimit ?? null;
  if (limit === null || limit === 0) return 1;
  return (leftOn(quota, limit, day) ?? limit) / limit;
}

/** What an account, or all together, did today and may still do. */
export interface QuotaForecast {
  used: number;
  /** By the operator's limits and the learned ones; null: not known. */
  left: number | null;
}

/** The forecast of one account, by kind. */
export function forecastOf(
  account: Limited,
  settings: Settings,
  nowMs: number,
): Record<QuotaKind, QuotaForecast> {
  const { day, byAccount } = dayAt(nowMs);
  const quotas = byAccount.get(account.id);
  const entries = quotaKinds.map((kind) => {
    const limit = limitOf(account, kind, settings);
    return [kind, { used: usedOn(quotas?.[kind], day), left: leftOn(quotas?.[kind], limit, day) }];
  });
  return Object.fromEntries(entries) as Record<QuotaKind, QuotaForecast>;
}

interface QuotaRow extends Quota {
  accountId: string;
  kind: string;
}

/** Takes what rows tell of the accounts `ids`, where it is more than what is known. Forgets all others. */
export function mergeQuotas(ids: Iterable<string>, rows: QuotaRow[]): void {
  const { byAccount } = ledger();
  const known = new Map(byAccount);
  byAccount.clear();
  for (const id of ids) byAccount.set(id, known.get(id) ?? {});
  for (const { accountId, kind, day, used, learnedLimit } of rows) {
    const quotas = byAccount.get(accountId);
    if (!quotas || !isQuotaKind(kind)) continue;
    const mine = quotas[kind];
    const isNews = !mine || day > mine.day || (day === mine.day && used > mine.used);
    if (isNews) quotas[kind] = { day, used, learnedLimit };
  }
}

function isQuotaKind(kind: string): kind is QuotaKind {
  return (quotaKinds as readonly string[]).includes(kind);
}
