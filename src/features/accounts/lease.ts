import type { Account } from '@/features/accounts/accounts';
import { accessTokenOf, dropAccessToken } from '@/features/accounts/credentials';
import type { Settings } from '@/features/settings/schema';
import { settings } from '@/features/settings/settings';
import { createSession, type GeminiConnection, type GeminiIdentity } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { dispatcherFor } from '@/platform/http';

/** An account in use by one request. */
export interface Lease {
  account: { id: string; label: string };
  connection: GeminiConnection;
  /** Fires when the caller leaves or the time for all tries is over. */
  signal: AbortSignal;
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
export function leaseOf(account: Account, limits: Settings, signal: AbortSignal): Lease {
  const connection = connectionOf(limits);
  const identityOf = (accessToken: string): GeminiIdentity => ({
    configId: account.configId,
    userAgent: account.userAgent,
    accessToken,
  });
  return {
    account: { id: account.id, label: account.label },
    connection,
    signal,
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
 * Asks the upstream for a signing key and a session with the account's cookies.
 * @returns how long it took
 * @throws AppError `upstream_error` with the reason, for the operator
 */
export async function testAccount(account: Account): Promise<{ durationMs: number }> {
  const startedAtMs = Date.now();
  const lease = leaseOf(account, await settings(), new AbortController().signal);
  try {
    await lease.call((identity) => createSession(lease.connection, identity, lease.signal), {
      configFault: true,
    });
  } catch (error) {
    if (!isGeminiError(error)) throw error;
    throw new AppError(
      'upstream_error',
      `The account ${account.label} does not work: ${error.fault}: ${error.message}`,
      { cause: error },
    );
  }
  return { durationMs: Date.now() - startedAtMs };
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
