import type { Account } from '@/features/accounts/account-table';
import { replaceHealth } from '@/features/accounts/accounts';
import { accessTokenOf, dropAccessToken } from '@/features/accounts/credentials';
import { afterFailure, healthy } from '@/features/accounts/state';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { createSession, type GeminiConnection, type GeminiIdentity } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { env } from '@/platform/env';
import { dispatcherFor } from '@/platform/http';

/** An account in use by one request. */
export interface Lease {
  connection: GeminiConnection;
  /** Fires when the caller leaves, the time for all tries is over, or the server must stop. */
  signal: AbortSignal;
  /** Says that content comes: from now on only its own waits limit the answer. */
  contentBegan(): void;
  /**
   * Makes a call with the account's access token; if it is refused, once more with a new one.
   * A 401 in spite of a new token is the account's fault: `configFault` where the call shows that
   * the workspace id is wrong rather than the cookies (protocol 8.3).
   */
  call<T>(
    run: (identity: GeminiIdentity) => Promise<T>,
    options?: { configFault: boolean },
  ): Promise<T>;
}

/** Takes `account` in use, for as long as `signal` does not fire. */
export function leaseOf(
  account: Account,
  limits: Settings,
  signal: AbortSignal,
  contentBegan: () => void,
): Lease {
  const connection = connectionOf(limits);
  const identityOf = (accessToken: string): GeminiIdentity => ({
    configId: account.configId,
    userAgent: account.userAgent,
    accessToken,
  });
  return {
    connection,
    signal,
    contentBegan,
    async call(run, options) {
      for (;;) {
        const { token, fresh } = await accessTokenOf(account, connection, signal);
        try {
          return await run(identityOf(token));
        } catch (error) {
          if (!isGeminiError(error) || error.fault !== 'credential') throw error;
          dropAccessToken(account.id, token);
          if (!fresh) continue;
          if (!options?.configFault) throw error;
          throw new GeminiError('config', 'The workspace id (configId) was refused.', {
            status: error.status ?? undefined,
            reason: 'WRONG_CONFIG_ID',
            cause: error,
          });
        }
      }
    },
  };
}

/**
 * Asks the upstream for a signing key and a session with the account's cookies, and replaces what
 * was known of its health by what came of it.
 * @returns how long it took, and the failure if there was one
 */
export async function testAccount(
  account: Account,
): Promise<{ durationMs: number; failure: GeminiError | null }> {
  const startedAtMs = Date.now();
  const limits = await settings();
  const lease = leaseOf(account, limits, new AbortController().signal, () => {});
  let failure: GeminiError | null = null;
  try {
    await lease.call((identity) => createSession(lease.connection, identity, lease.signal), {
      configFault: true,
    });
  } catch (error) {
    if (!isGeminiError(error)) throw error;
    failure = error;
  }
  const nowMs = Date.now();
  const health = failure
    ? afterFailure(healthy, failure, { turn: 1, endTurn: 1 }, limits, nowMs)
    : healthy;
  await replaceHealth(account.id, health);
  return { durationMs: nowMs - startedAtMs, failure };
}

function connectionOf(limits: Settings): GeminiConnection {
  const { geminiAppUrl, geminiAuthUrl, geminiApiUrl, geminiVerifyUrl } = env();
  return {
    endpoints: {
      appUrl: geminiAppUrl,
      authUrl: geminiAuthUrl,
      apiUrl: geminiApiUrl,
      verifyUrl: geminiVerifyUrl,
    },
    dispatcher: dispatcherFor(limits.proxyUrl, limits.connectTimeoutMs),
    timeouts: {
      keyMs: limits.keyTimeoutMs,
      sessionMs: limits.sessionTimeoutMs,
      firstContentMs: limits.firstContentTimeoutMs,
      idleMs: limits.idleTimeoutMs,
    },
  };
}
