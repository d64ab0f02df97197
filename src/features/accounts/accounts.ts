import {
  type Account,
  newCredential,
  reloadAccounts,
  sealCookies,
  stampAccounts,
} from '@/features/accounts/account-table';
import { healthOf, toRow } from '@/features/accounts/health';
import type { AccountInput } from '@/features/accounts/schema';
import { type AccountState, accountState, type Health, healthy } from '@/features/accounts/state';
import { encrypt } from '@/platform/crypto';
import { type Database, query } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { rowId } from '@/platform/row-id';

const DEFAULT_USER_AGENT =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';

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
  const ids = inputs.map((input, index) => known.get(input.csesidx) ?? rowId(nowMs + index));
  const isKnown = (input: AccountInput) => known.has(input.csesidx);
  const added = inputs.filter((input) => !isKnown(input));
  await query((db) =>
    db.$transaction([
      ...inputs.map((input, index) => {
        const id = ids[index] ?? '';
        if (isKnown(input)) return renewAccount(db, id, input);
        return addAccount(db, id, input, known.size + added.indexOf(input) + 1);
      }),
      stampAccounts(db),
    ]),
  );
  await reloadAccounts();
  return { added: added.length, renewed: inputs.length - added.length, ids };
}

function addAccount(db: Database, id: string, input: AccountInput, number: number) {
  return db.account.create({
    data: {
      id,
      csesidx: input.csesidx,
      configId: input.configId,
      enabled: input.enabled,
      label: input.label ?? `account-${number}`,
      userAgent: input.userAgent ?? DEFAULT_USER_AGENT,
      ...sealCookies(input),
      ...mailboxOf(input),
    },
  });
}

/** What the input does not say of label, browser and mailbox stays. */
function renewAccount(db: Database, id: string, input: AccountInput) {
  return db.account.update({
    where: { id },
    data: {
      configId: input.configId,
      enabled: input.enabled,
      ...(input.label !== null && { label: input.label }),
      ...(input.userAgent !== null && { userAgent: input.userAgent }),
      ...(input.mailboxUrl !== null && mailboxOf(input)),
      ...sealCookies(input),
      ...newCredential(null),
      ...newHealth(healthy),
    },
  });
}

function mailboxOf({ mailboxName, mailboxUrl }: AccountInput) {
  return { mailboxName, mailboxUrl: mailboxUrl === null ? null : encrypt(mailboxUrl) };
}

function newHealth(health: Health) {
  return { ...toRow(health), healthEpoch: { increment: 1 } };
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
  return [...(await reloadAccounts()).values()].map((account) => {
    const health = healthOf(account.id);
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
  const accounts = [...(await reloadAccounts()).values()];
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
  await update(id, { enabled, ...(enabled && newHealth(healthy)) });
}

/** Sets the health of an account for good, over what a running server knows: a test found it out. */
export async function replaceHealth(id: string, health: Health): Promise<void> {
  await update(id, newHealth(health));
}

async function update(
  id: string,
  data: Parameters<Database['account']['update']>[0]['data'],
): Promise<void> {
  await query((db) =>
    db.$transaction([db.account.update({ where: { id }, data }), stampAccounts(db)]),
  );
  await reloadAccounts();
}
