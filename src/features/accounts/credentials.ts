import {
  type Account,
  reloadAccounts,
  saveRotatedCookies,
  unsealCookies,
} from '@/features/accounts/account-table';
import { type AccessToken, type Cookies, mintAccessToken } from '@/gemini/access-token';
import type { GeminiConnection } from '@/gemini/client';
import { GeminiError } from '@/gemini/errors';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

// A token lives 300 s. From 240 s on it is renewed in the background, and never used in its last 15 s.
const RENEW_BEFORE_MS = 60_000;
const UNUSABLE_BEFORE_MS = 15_000;
// After a background renewal that failed: the key host is not asked again at once.
const RENEWAL_PAUSE_MS = 15_000;
const SAVE_RETRY_MS = 1_000;

interface Credential {
  /** Of the row that the cookies came from, or were saved to. Another one there replaces them. */
  version: number;
  cookies: Cookies;
  token: AccessToken | null;
  minting: Promise<AccessToken> | null;
  /** No renewal in the background before this time. */
  renewAfterMs: number;
  /** Rotated cookies that are in no row yet. */
  unsaved: { cookies: Cookies; expiresAtMs: number | null } | null;
  saving: Promise<void> | null;
}

function credentials(): Map<string, Credential> {
  return processState('credentials', () => new Map<string, Credential>());
}

function credentialOf(account: Account): Credential {
  const known = credentials().get(account.id);
  // An older version is a row that was read before our own save; a newer one is an import.
  if (known && account.credentialVersion <= known.version) return known;
  const credential = {
    version: account.credentialVersion,
    cookies: readCookies(account),
    token: null,
    minting: null,
    renewAfterMs: 0,
    unsaved: null,
    saving: null,
  };
  credentials().set(account.id, credential);
  return credential;
}

function readCookies(account: Account): Cookies {
  try {
    return unsealCookies(account);
  } catch (error) {
    throw new GeminiError('credential', 'The stored cookies cannot be read.', {
      reason: 'UNREADABLE',
      cause: error,
    });
  }
}

/**
 * A valid access token of the account: from memory at once, else by one key fetch that all callers
 * share. `fresh` says that it was made for this very call. The fetch goes on when `signal` fires,
 * since others may wait for it; only this caller stops waiting.
 * @throws GeminiError
 */
export async function accessTokenOf(
  account: Account,
  connection: GeminiConnection,
  signal: CancelSignal,
): Promise<{ token: string; fresh: boolean }> {
  const credential = credentialOf(account);
  const nowMs = Date.now();
  const { token } = credential;
  if (token && isUsable(token, nowMs)) {
    renewIfSoonOver(account, credential, token, connection, nowMs);
    return { token: token.token, fresh: false };
  }
  const minted = await orAborted(mintOnce(account, credential, connection), signal);
  return { token: minted.token, fresh: true };
}

/**
 * Renews the access token of the account if it has one that is soon over, in the background: whoever
 * asks for it later does not wait. One that can't be used any more is left to the next caller.
 */
export function renewTokenAhead(account: Account, connection: GeminiConnection): void {
  const credential = credentials().get(account.id);
  if (!credential?.token || credential.minting) return;
  // Other cookies came in: the next call takes them, and its token is made then.
  if (account.credentialVersion > credential.version) return;
  const nowMs = Date.now();
  if (!isUsable(credential.token, nowMs)) return;
  renewIfSoonOver(account, credential, credential.token, connection, nowMs);
}

function isUsable({ expiresAtMs }: AccessToken, nowMs: number): boolean {
  return expiresAtMs - nowMs > UNUSABLE_BEFORE_MS;
}

/** A failure here shows again when the token is needed: the next caller then waits and meets it. */
function renewIfSoonOver(
  account: Account,
  credential: Credential,
  { expiresAtMs }: AccessToken,
  connection: GeminiConnection,
  nowMs: number,
): void {
  if (expiresAtMs - nowMs >= RENEW_BEFORE_MS || nowMs < credential.renewAfterMs) return;
  credential.renewAfterMs = nowMs + RENEWAL_PAUSE_MS;
  mintOnce(account, credential, connection).catch((error) =>
    log().debug({ account: account.label, err: error }, 'access token could not be renewed yet'),
  );
}

/** Forgets the account's access token, if it is still `token`, so that the next caller gets a new one. */
export function dropAccessToken(accountId: string, token: string): void {
  const credential = credentials().get(accountId);
  if (credential?.token?.token === token) credential.token = null;
}

function mintOnce(
  account: Account,
  credential: Credential,
  connection: GeminiConnection,
): Promise<AccessToken> {
  credential.minting ??= mint(account, credential, connection).finally(() => {
    credential.minting = null;
  });
  return credential.minting;
}

async function mint(
  account: Account,
  credential: Credential,
  connection: GeminiConnection,
): Promise<AccessToken> {
  const minted = await mintAccessToken({
    connection,
    cookies: credential.cookies,
    csesidx: account.csesidx,
    userAgent: account.userAgent,
    nowMs: Date.now(),
    signal: new Cancellation(),
    onCookies(cookies, expiresAtMs) {
      credential.cookies = cookies;
      credential.unsaved = { cookies, expiresAtMs };
      credential.saving ??= saveUnsaved(account, credential).finally(() => {
        credential.saving = null;
      });
    },
  });
  credential.token = minted.accessToken;
  log().debug({ account: account.label, clockSkewMs: minted.clockSkewMs }, 'access token made');
  return minted.accessToken;
}

/** Saves rotated cookies until they are in the row: without them the account is lost at a restart. */
async function saveUnsaved(account: Account, credential: Credential): Promise<void> {
  while (credential.unsaved) {
    const { unsaved } = credential;
    try {
      const { version } = credential;
      if (!(await saveRotatedCookies(account.id, version, unsaved.cookies, unsaved.expiresAtMs))) {
        log().warn(
          { account: account.label },
          'rotated cookies given up: others came in meanwhile',
        );
        credentials().delete(account.id);
        return;
      }
      credential.version = version + 1;
      if (credential.unsaved === unsaved) credential.unsaved = null;
      await reloadAccounts();
    } catch (error) {
      log().error({ err: error, account: account.label }, 'rotated cookies could not be saved yet');
      await new Promise((resolve) => setTimeout(resolve, SAVE_RETRY_MS).unref());
    }
  }
}

/** Forgets the secrets of accounts that are not in `accounts` any more. */
export function forgetCredentials(accounts: ReadonlyMap<string, Account>): void {
  for (const id of credentials().keys()) if (!accounts.has(id)) credentials().delete(id);
}

/** Waits until all rotated cookies are saved. */
export async function saveCredentials(): Promise<void> {
  await Promise.all([...credentials().values()].map(({ saving }) => saving));
}

function orAborted<T>(promise: Promise<T>, signal: CancelSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(new GeminiError('client_left', 'The caller left.'));
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
