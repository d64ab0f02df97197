import { type Account, saveCookies, unsealCookies } from '@/features/accounts/accounts';
import { type AccessToken, type Cookies, mintAccessToken } from '@/gemini/access-token';
import type { GeminiConnection } from '@/gemini/client';
import { GeminiError } from '@/gemini/errors';
import { log } from '@/platform/log';
import { processState } from '@/platform/process-state';

// A token lives 300 s. From 240 s on it is renewed in the background, and never used in its last 15 s.
const RENEW_BEFORE_MS = 60_000;
const UNUSABLE_BEFORE_MS = 15_000;

interface Credential {
  /** Of the row that the cookies came from; a higher one there replaces them. */
  version: number;
  cookies: Cookies;
  token: AccessToken | null;
  minting: Promise<AccessToken> | null;
  /** The last save of rotated cookies: each waits for the one before, so that the newest stays. */
  saving: Promise<void>;
}

function credentials(): Map<string, Credential> {
  return processState('credentials', () => new Map<string, Credential>());
}

function credentialOf(account: Account): Credential {
  const known = credentials().get(account.id);
  if (known && known.version >= account.credentialVersion) return known;
  const credential = {
    version: account.credentialVersion,
    cookies: unsealCookies(account),
    token: null,
    minting: null,
    saving: Promise.resolve(),
  };
  credentials().set(account.id, credential);
  return credential;
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
  signal: AbortSignal,
): Promise<{ token: string; fresh: boolean }> {
  const credential = credentialOf(account);
  const leftMs = (credential.token?.expiresAtMs ?? 0) - Date.now();
  if (credential.token && leftMs > UNUSABLE_BEFORE_MS) {
    if (leftMs < RENEW_BEFORE_MS && !credential.minting) {
      // A failure shows when the token is needed: the next caller then waits and meets it.
      mintOnce(account, credential, connection).catch(() => {});
    }
    return { token: credential.token.token, fresh: false };
  }
  const minted = await orAborted(mintOnce(account, credential, connection), signal);
  return { token: minted.token, fresh: true };
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
    signal: new AbortController().signal,
    onCookies: (cookies, expiresAtMs) => {
      credential.cookies = cookies;
      credential.version += 1;
      credential.saving = credential.saving
        .then(() => saveCookies(account.id, cookies, expiresAtMs))
        .catch((error) =>
          log().error({ err: error, account: account.label }, 'rotated cookies could not be saved'),
        );
    },
  });
  credential.token = minted.accessToken;
  log().debug({ account: account.label, clockSkewMs: minted.clockSkewMs }, 'access token made');
  return minted.accessToken;
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(new GeminiError('client_left', 'The caller left.'));
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
