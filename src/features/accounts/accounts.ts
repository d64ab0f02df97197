import {
  type Account,
  allAccounts,
  newCredential,
  reloadAccounts,
  sealCookies,
  stampAccounts,
} from '@/features/accounts/account-table';
import { exitOf } from '@/features/accounts/exit';
import { healthOf, toRow } from '@/features/accounts/health';
import { forecastOf, type QuotaForecast, spentUntilMs } from '@/features/accounts/ledger';
import { modelsRefusedBy } from '@/features/accounts/offers';
import { type AccountInput, AccountOptions } from '@/features/accounts/schema';
import {
  type AccountState,
  accountState,
  accountStates,
  type Health,
  healthy,
  isHalfOpen,
  restEndMs,
} from '@/features/accounts/state';
import { modelsOnlyOf, stampModels } from '@/features/models/models';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { type QuotaKind, quotaKinds } from '@/gemini/tools';
import { encrypt } from '@/platform/crypto';
import { type Database, query } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { exitName } from '@/platform/proxy-url';
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
  const select = { id: true, csesidx: true, label: true };
  const rows = await query((db) => db.account.findMany({ select }));
  const known = new Map(rows.map((row) => [row.csesidx, row.id]));
  const nowMs = Date.now();
  const ids = inputs.map((input, index) => known.get(input.csesidx) ?? rowId(nowMs + index));
  const isKnown = (input: AccountInput) => known.has(input.csesidx);
  const added = inputs.filter((input) => !isKnown(input));
  const labels = newLabels(added, rows);
  await query((db) =>
    db.$transaction([
      ...inputs.map((input, index) => {
        const id = ids[index] ?? '';
        if (isKnown(input)) return renewAccount(db, id, input);
        return addAccount(db, id, input, labels[added.indexOf(input)] ?? '');
      }),
      stampAccounts(db),
    ]),
  );
  await reloadAccounts();
  return { added: added.length, renewed: inputs.length - added.length, ids };
}

/** What the new accounts are called: one without a name gets the next `account-N` that is free. */
function newLabels(added: AccountInput[], known: { label: string }[]): string[] {
  const taken = new Set([...known, ...added].map(({ label }) => label));
  let number = known.length;
  return added.map(({ label }) => {
    if (label !== null) return label;
    do number += 1;
    while (taken.has(`account-${number}`));
    return `account-${number}`;
  });
}

function addAccount(db: Database, id: string, input: AccountInput, label: string) {
  return db.account.create({
    data: {
      id,
      csesidx: input.csesidx,
      configId: input.configId,
      enabled: input.enabled,
      label,
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
      modelRefusals: { deleteMany: {} },
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
  weight: number;
  maxConcurrent: number | null;
  /** Its own exit, fit for every eye; null: that of the settings. */
  exit: string | null;
  state: AccountState;
  /** One request at a time probes it, since the last one failed. */
  isHalfOpen: boolean;
  /** By kind, while it rests. */
  restUntilMs: Partial<Record<QuotaKind, number>>;
  fault: string | null;
  reason: string | null;
  faultAtMs: number | null;
  today: Record<QuotaKind, QuotaForecast>;
  /** The upstream's models that it has turned out not to offer. */
  lacks: string[];
}

/** All accounts with their state, in the order in which they came. */
export async function listAccounts(nowMs: number): Promise<AccountSummary[]> {
  const limits = await settings();
  return [...(await reloadAccounts()).values()].map((account) => {
    const { id, label, csesidx, weight, maxConcurrent } = account;
    const health = healthOf(id);
    const { fault, reason, faultAtMs } = health;
    const today = forecastOf(account, limits, nowMs);
    return {
      id,
      label,
      csesidx,
      weight,
      maxConcurrent,
      exit: ownExitName(account),
      ...stateOf(account, limits, nowMs),
      isHalfOpen: isHalfOpen(health, 'text'),
      fault,
      reason,
      faultAtMs,
      today,
      lacks: modelsRefusedBy(id, nowMs),
    };
  });
}

function ownExitName(account: Account): string | null {
  if (account.sealedProxyUrl === null) return null;
  try {
    return exitName(exitOf(account, { proxyUrl: null }));
  } catch {
    return 'unreadable proxy';
  }
}

function stateOf(
  account: Account,
  limits: Settings,
  nowMs: number,
): Pick<AccountSummary, 'state' | 'restUntilMs'> {
  const health = healthOf(account.id);
  const age = { savedAtMs: account.credentialSavedAtMs, expiresAtMs: account.cookieExpiresAtMs };
  const rests = quotaKinds.map((kind): [QuotaKind, number] => [
    kind,
    Math.max(restEndMs(health, kind), spentUntilMs(account, kind, limits, nowMs)),
  ]);
  const restUntilMs: AccountSummary['restUntilMs'] = Object.fromEntries(
    rests.filter(([, untilMs]) => untilMs > nowMs),
  );
  const state = accountState(account.enabled, health, restUntilMs.text ?? 0, age, nowMs);
  return { state, restUntilMs };
}

const unservable: readonly AccountState[] = ['disabled', 'dead', 'needs_human'];

/** How many accounts there are of each sort. */
export interface AccountCensus {
  byState: Record<AccountState, number>;
  /** Those that come back by themselves, by the kind of use that they are not asked for meanwhile. */
  resting: Record<QuotaKind, number>;
}

/** Counts the accounts as they stand at `nowMs`, from memory when warm. */
export async function countAccounts(nowMs: number): Promise<AccountCensus> {
  const limits = await settings();
  const standings = [...(await allAccounts()).values()].map((account) =>
    stateOf(account, limits, nowMs),
  );
  const servable = standings.filter(({ state }) => !unservable.includes(state));
  const count = <T>(all: T[], is: (each: T) => boolean) => all.filter(is).length;
  const states = accountStates.map((each) => [
    each,
    count(standings, ({ state }) => state === each),
  ]);
  const kinds = quotaKinds.map((kind) => [
    kind,
    count(servable, ({ restUntilMs }) => restUntilMs[kind] !== undefined),
  ]);
  return { byState: Object.fromEntries(states), resting: Object.fromEntries(kinds) };
}

/** What all accounts together may still do today, by kind; null: nothing is known of any limit. */
export function totalLeft(accounts: AccountSummary[]): Record<QuotaKind, number | null> {
  const entries = quotaKinds.map((kind) => {
    const known = accounts.flatMap(({ state, today }) =>
      state === 'disabled' || state === 'dead' || today[kind].left === null
        ? []
        : [today[kind].left],
    );
    return [kind, known.length === 0 ? null : known.reduce((sum, left) => sum + left, 0)];
  });
  return Object.fromEntries(entries);
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

/**
 * Switches an account on or off. Switching on also forgets what was wrong with it, and which models
 * it did not offer.
 */
export async function setEnabled(id: string, enabled: boolean): Promise<void> {
  const anew = { ...newHealth(healthy), modelRefusals: { deleteMany: {} } };
  await update(id, { enabled, ...(enabled && anew) });
}

/** Sets the health of an account for good, over what a running server knows: a test found it out. */
export async function replaceHealth(id: string, health: Health): Promise<void> {
  await update(id, newHealth(health));
}

/**
 * Changes what the operator may choose of an account; the rest stays.
 * @throws AppError `invalid_request` with the name as `param`, or `conflict` if another account has
 *   the label
 */
export async function setOptions(id: string, options: AccountOptions): Promise<void> {
  const parsed = AccountOptions.safeParse(options);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = String(issue?.path[0] ?? '');
    throw new AppError('invalid_request', `${param}: ${issue?.message}`, { param });
  }
  const { proxyUrl, ...plain } = parsed.data;
  const others = [...(await reloadAccounts()).values()].filter((account) => account.id !== id);
  if (others.some(({ label }) => label === plain.label)) {
    const message = `Another account is labelled ${plain.label}.`;
    throw new AppError('conflict', message, { param: 'label' });
  }
  const sealed = typeof proxyUrl === 'string' ? encrypt(proxyUrl) : proxyUrl;
  const given = Object.fromEntries(
    Object.entries({ ...plain, proxyUrl: sealed }).filter(([, value]) => value !== undefined),
  );
  await update(id, given);
}

/**
 * Deletes an account with all that is known of it. What it is doing now comes to its end.
 * @throws AppError `conflict` if a model would then be served by every account, since it is the only
 *   one that may
 */
export async function deleteAccount(id: string): Promise<void> {
  const models = await modelsOnlyOf(id);
  if (models.length > 0) {
    throw new AppError(
      'conflict',
      `The account is the only one that may serve ${models.join(', ')}. Disable it instead.`,
    );
  }
  await query((db) =>
    db.$transaction([db.account.delete({ where: { id } }), stampAccounts(db), stampModels(db)]),
  );
  await reloadAccounts();
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
