import type { AccountInput } from '@/features/accounts/schema';
import { type AccountState, accountState, type Health, healthy } from '@/features/accounts/state';
import type { Cookies } from '@/gemini/access-token';
import { cachedTable, reloadTable, stampChange } from '@/platform/cached-table';
import { decrypt, encrypt } from '@/platform/crypto';
import { query, sqlTime } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';
import { rowId } from '@/platform/row-id';
import { writeLatestBehind } from '@/platform/write-behind';

const TABLE = 'accounts';
const DEFAULT_USER_AGENT =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';

/** An account as its row says, secrets sealed. */
export interface Account {
  id: string;
  label: string;
  csesidx: string;
  configId: string;
  userAgent: string;
  enabled: boolean;
  credentialVersion: number;
  sealedSecureCSes: string;
  sealedHostCOses: string | null;
  credentialSavedAtMs: number;
  cookieExpiresAtMs: number | null;
}

async function load(): Promise<Map<string, Account>> {
  const rows = await query((db) => db.account.findMany({ orderBy: { id: 'asc' } }));
  const health = healthTable();
  const accounts = new Map<string, Account>();
  for (const row of rows) {
    accounts.set(row.id, {
      id: row.id,
      label: row.label,
      csesidx: row.csesidx,
      configId: row.configId,
      userAgent: row.userAgent,
      enabled: row.enabled,
      credentialVersion: row.credentialVersion,
      sealedSecureCSes: row.secureCSes,
      sealedHostCOses: row.hostCOses,
      credentialSavedAtMs: row.credentialSavedAt.getTime(),
      cookieExpiresAtMs: row.cookieExpiresAt?.getTime() ?? null,
    });
    const stored = toHealth(row);
    // The later write wins: ours of a moment ago, or the one of a command.
    if (stored.stateChangedAtMs > (health.get(row.id)?.stateChangedAtMs ?? -1)) {
      health.set(row.id, stored);
    }
  }
  for (const id of health.keys()) if (!accounts.has(id)) health.delete(id);
  return accounts;
}

function toHealth(row: {
  condition: string;
  restUntil: Date | null;
  fault: string | null;
  reason: string | null;
  faultAt: Date | null;
  failures: number;
  stateChangedAt: Date;
}): Health {
  return {
    condition: row.condition as Health['condition'],
    restUntilMs: row.restUntil?.getTime() ?? null,
    fault: row.fault as Health['fault'],
    reason: row.reason,
    faultAtMs: row.faultAt?.getTime() ?? null,
    failures: row.failures,
    stateChangedAtMs: row.stateChangedAt.getTime(),
  };
}

/** All accounts by id; from memory when warm. */
export function allAccounts(): Map<string, Account> | Promise<Map<string, Account>> {
  return cachedTable(TABLE, load);
}

/** The health of every account by id, live in this process. Filled by `allAccounts`. */
export function healthTable(): Map<string, Health> {
  return processState('account-health', () => new Map<string, Health>());
}

const SAVE_HEALTH = `UPDATE "Account" SET "condition" = "new".value->>1, "restUntil" = "new".value->>2,
  "fault" = "new".value->>3, "reason" = "new".value->>4, "faultAt" = "new".value->>5,
  "failures" = "new".value->>6, "stateChangedAt" = "new".value->>7
  FROM json_each(?) AS "new" WHERE "Account"."id" = "new".value->>0
  AND "Account"."stateChangedAt" <= "new".value->>7`;
const MARK_USED = `UPDATE "Account" SET "lastUsedAt" = "used".value->>1
  FROM json_each(?) AS "used" WHERE "Account"."id" = "used".value->>0`;

/** Sets the health of an account, at once for this process and within a second in its row. */
export function setHealth(id: string, health: Health): void {
  healthTable().set(id, health);
  const time = (ms: number | null) => (ms === null ? null : sqlTime(ms));
  writeLatestBehind(SAVE_HEALTH, id, [
    id,
    health.condition,
    time(health.restUntilMs),
    health.fault,
    health.reason,
    time(health.faultAtMs),
    health.failures,
    sqlTime(health.stateChangedAtMs),
  ]);
}

/** Notes that the account served just now. */
export function markUsed(id: string, nowMs: number): void {
  writeLatestBehind(MARK_USED, id, [id, sqlTime(nowMs)]);
}

/** The cookies of an account in clear text, for the upstream client only. */
export function unsealCookies(account: Account): Cookies {
  return {
    secureCSes: decrypt(account.sealedSecureCSes),
    hostCOses: account.sealedHostCOses === null ? null : decrypt(account.sealedHostCOses),
  };
}

/** Stores new cookies of an account at once: the old ones may be refused from now on. */
export async function saveCookies(
  id: string,
  cookies: Cookies,
  expiresAtMs: number | null,
): Promise<void> {
  await query((db) =>
    db.$transaction([
      db.account.update({
        where: { id },
        data: { ...sealed(cookies), ...freshCredential(expiresAtMs) },
      }),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
}

function sealed(cookies: Cookies) {
  return {
    secureCSes: encrypt(cookies.secureCSes),
    hostCOses: cookies.hostCOses === null ? null : encrypt(cookies.hostCOses),
  };
}

function freshCredential(expiresAtMs: number | null) {
  return {
    credentialVersion: { increment: 1 },
    credentialSavedAt: new Date(),
    cookieExpiresAt: expiresAtMs === null ? null : new Date(expiresAtMs),
  };
}

const healthColumns = (nowMs: number) => ({
  condition: healthy.condition,
  restUntil: null,
  fault: null,
  reason: null,
  faultAt: null,
  failures: 0,
  stateChangedAt: new Date(nowMs),
});

/**
 * Adds the accounts, or renews those whose csesidx is known: new cookies and identifiers replace
 * the old, and what was wrong with the account is forgotten.
 * @returns the ids, in the order of `inputs`
 */
export async function saveAccounts(
  inputs: AccountInput[],
): Promise<{ added: number; renewed: number; ids: string[] }> {
  const rows = await query((db) => db.account.findMany({ select: { id: true, csesidx: true } }));
  const known = new Map(rows.map((row) => [row.csesidx, row.id]));
  const nowMs = Date.now();
  let number = known.size;
  const ids: string[] = [];
  const writes = inputs.map((input) => {
    const id = known.get(input.csesidx);
    ids.push(id ?? rowId(nowMs + ids.length));
    const columns = {
      configId: input.configId,
      enabled: input.enabled,
      ...sealed(input),
      ...healthColumns(nowMs),
    };
    const mailbox = {
      mailboxName: input.mailboxName,
      mailboxUrl: input.mailboxUrl === null ? null : encrypt(input.mailboxUrl),
    };
    if (id) {
      const given = {
        ...(input.label !== null && { label: input.label }),
        ...(input.userAgent !== null && { userAgent: input.userAgent }),
        ...(input.mailboxUrl !== null && mailbox),
      };
      return { id, data: { ...columns, ...given, ...freshCredential(null) } };
    }
    number += 1;
    return {
      create: {
        id: ids.at(-1) as string,
        label: input.label ?? `account-${number}`,
        csesidx: input.csesidx,
        userAgent: input.userAgent ?? DEFAULT_USER_AGENT,
        ...columns,
        ...mailbox,
      },
    };
  });
  await query((db) =>
    db.$transaction([
      ...writes.map((write) =>
        write.create
          ? db.account.create({ data: write.create })
          : db.account.update({ where: { id: write.id }, data: write.data }),
      ),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
  const added = writes.filter((write) => write.create).length;
  return { added, renewed: writes.length - added, ids };
}

/** What the operator may see of an account. */
export interface AccountSummary {
  id: string;
  label: string;
  csesidx: string;
  state: AccountState;
  restUntilMs: number | null;
  fault: string | null;
  reason: string | null;
}

/** All accounts with their state, in the order in which they came. */
export async function listAccounts(nowMs: number): Promise<AccountSummary[]> {
  const accounts = await reloadTable(TABLE, load);
  return [...accounts.values()].map((account) => {
    const health = healthTable().get(account.id) ?? healthy;
    const age = { savedAtMs: account.credentialSavedAtMs, expiresAtMs: account.cookieExpiresAtMs };
    return {
      id: account.id,
      label: account.label,
      csesidx: account.csesidx,
      state: accountState(account.enabled, health, age, nowMs),
      restUntilMs: health.restUntilMs,
      fault: health.fault,
      reason: health.reason,
    };
  });
}

/**
 * The account of that id, csesidx or label.
 * @throws AppError `not_found`, or `conflict` if several have that label
 */
export async function getAccount(name: string): Promise<Account> {
  const accounts = [...(await reloadTable(TABLE, load)).values()];
  const exact = accounts.find((account) => account.id === name || account.csesidx === name);
  if (exact) return exact;
  const labelled = accounts.filter((account) => account.label === name);
  if (labelled.length > 1) {
    throw new AppError(
      'conflict',
      `${labelled.length} accounts are labelled ${name}. Name one by its csesidx.`,
    );
  }
  const [account] = labelled;
  if (!account) throw new AppError('not_found', `There is no account ${name}.`);
  return account;
}

/** Switches an account on or off. Switching on also forgets what was wrong with it. */
export async function setEnabled(id: string, enabled: boolean): Promise<void> {
  const health = enabled ? healthColumns(Date.now()) : {};
  await query((db) =>
    db.$transaction([
      db.account.update({ where: { id }, data: { enabled, ...health } }),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
}
