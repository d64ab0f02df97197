import { mergeHealth } from '@/features/accounts/health';
import { mergeQuotas } from '@/features/accounts/ledger';
import { mergeOffers } from '@/features/accounts/offers';
import type { Cookies } from '@/gemini/access-token';
import type { QuotaKind } from '@/gemini/tools';
import { cachedTable, reloadTable, stampChange } from '@/platform/cached-table';
import { decrypt, encrypt } from '@/platform/crypto';
import { type Database, query, sqlTime } from '@/platform/db';
import { writeLatestBehind } from '@/platform/write-behind';

const TABLE = 'accounts';

/** An account as its row says, secrets sealed. Its health is in `health.ts`. */
export interface Account {
  id: string;
  label: string;
  csesidx: string;
  configId: string;
  userAgent: string;
  enabled: boolean;
  weight: number;
  /** Requests at the same time; null: as the setting says. */
  maxConcurrent: number | null;
  /** A URL, or `direct`; null: the proxy of the settings. */
  sealedProxyUrl: string | null;
  /** Uses a day by kind; null: as the setting says. */
  limits: Record<QuotaKind, number | null>;
  credentialVersion: number;
  sealedSecureCSes: string;
  sealedHostCOses: string | null;
  credentialSavedAtMs: number;
  cookieExpiresAtMs: number | null;
}

async function load(): Promise<Map<string, Account>> {
  const [rows, quotas, refusals] = await query((db) =>
    db.$transaction([
      db.account.findMany({ orderBy: { id: 'asc' } }),
      db.accountQuota.findMany(),
      db.modelRefusal.findMany(),
    ]),
  );
  mergeHealth(rows);
  mergeOffers(rows, refusals, Date.now());
  mergeQuotas(
    rows.map(({ id }) => id),
    quotas,
  );
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        label: row.label,
        csesidx: row.csesidx,
        configId: row.configId,
        userAgent: row.userAgent,
        enabled: row.enabled,
        weight: row.weight,
        maxConcurrent: row.maxConcurrent,
        sealedProxyUrl: row.proxyUrl,
        limits: { text: row.textLimit, images: row.imagesLimit, videos: row.videosLimit },
        credentialVersion: row.credentialVersion,
        sealedSecureCSes: row.secureCSes,
        sealedHostCOses: row.hostCOses,
        credentialSavedAtMs: row.credentialSavedAt.getTime(),
        cookieExpiresAtMs: row.cookieExpiresAt?.getTime() ?? null,
      },
    ]),
  );
}

/** All accounts by id, in the order in which they came; from memory when warm. */
export function allAccounts(): Map<string, Account> | Promise<Map<string, Account>> {
  return cachedTable(TABLE, load);
}

/** The same, read anew. */
export function reloadAccounts(): Promise<Map<string, Account>> {
  return reloadTable(TABLE, load);
}

/** What must stand beside every write to the table, in the same transaction. */
export function stampAccounts(db: Database) {
  return stampChange(db, TABLE);
}

const MARK_USED = `UPDATE "Account" SET "lastUsedAt" = ${sqlTime('"used".value->>1')}
  FROM json_each(?) AS "used" WHERE "Account"."id" = "used".value->>0`;

/** Notes that the account served just now. */
export function markUsed(id: string, nowMs: number): void {
  writeLatestBehind(MARK_USED, id, [id, nowMs]);
}

/**
 * The cookies of an account in clear text, for the upstream client only.
 * @throws AppError if the row can't be read with our key
 */
export function unsealCookies(account: Account): Cookies {
  return {
    secureCSes: decrypt(account.sealedSecureCSes),
    hostCOses: account.sealedHostCOses === null ? null : decrypt(account.sealedHostCOses),
  };
}

/** Cookies as columns, encrypted. */
export function sealCookies(cookies: Cookies) {
  return {
    secureCSes: encrypt(cookies.secureCSes),
    hostCOses: cookies.hostCOses === null ? null : encrypt(cookies.hostCOses),
  };
}

/** The columns that go with every new pair of cookies. */
export function newCredential(expiresAtMs: number | null) {
  return {
    credentialVersion: { increment: 1 },
    credentialSavedAt: new Date(),
    cookieExpiresAt: expiresAtMs === null ? null : new Date(expiresAtMs),
  };
}

/**
 * Stores cookies that the key host renewed from those of `version`.
 * @returns false if other cookies came in meanwhile (an import): those stay
 */
export async function saveRotatedCookies(
  id: string,
  version: number,
  cookies: Cookies,
  expiresAtMs: number | null,
): Promise<boolean> {
  const [{ count }] = await query((db) =>
    db.$transaction([
      db.account.updateMany({
        where: { id, credentialVersion: version },
        data: { ...sealCookies(cookies), ...newCredential(expiresAtMs) },
      }),
      stampAccounts(db),
    ]),
  );
  return count > 0;
}
