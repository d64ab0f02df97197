import type { Account } from '@/features/accounts/account-table';
import { accessTokenOf, dropAccessToken } from '@/features/accounts/credentials';
import { exitOf } from '@/features/accounts/exit';
import { countUse } from '@/features/accounts/ledger';
import type { Settings } from '@/features/settings/schema';
import type { GeminiConnection, GeminiIdentity } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import type { QuotaKind } from '@/gemini/tools';
import type { CancelSignal } from '@/platform/cancellation';
import { env } from '@/platform/env';
import { dispatcherFor } from '@/platform/http';

/** An account in use by one request. */
export interface Lease {
  account: Account;
  connection: GeminiConnection;
  /** Fires when the caller leaves, the time for all tries is over, or the server must stop. */
  signal: CancelSignal;
  /** Says that content comes: from now on only its own waits limit the answer. */
  contentBegan(): void;
  /** Counts what the upstream really did, also if nothing of it reaches the caller. */
  served(kind: QuotaKind): void;
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

/** What the one who leases hears. */
export interface LeaseEvents {
  contentBegan(): void;
  /** Something was served, and has been counted. */
  served(): void;
}

/**
 * Takes `account` in use, for as long as `signal` does not fire.
 * @throws GeminiError if what is stored of the account can't be read
 */
export function leaseOf(
  account: Account,
  kind: QuotaKind,
  limits: Settings,
  signal: CancelSignal,
  { contentBegan, served }: LeaseEvents,
): Lease {
  const connection = connectionOf(account, kind, limits);
  const identityOf = (accessToken: string): GeminiIdentity => ({
    configId: account.configId,
    userAgent: account.userAgent,
    accessToken,
  });
  return {
    account,
    connection,
    signal,
    contentBegan,
    served(what) {
      countUse(account.id, what, Date.now());
      served();
    },
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
 * The same for work that no caller waits for and that blames nobody: what came of it is heard by the
 * one who does it alone.
 * @throws GeminiError if what is stored of the account can't be read
 */
export function backgroundLease(account: Account, limits: Settings, signal: CancelSignal): Lease {
  return leaseOf(account, 'text', limits, signal, { contentBegan() {}, served() {} });
}

/**
 * The way to the upstream for `account`, with the patience that `kind` asks for.
 * @throws GeminiError if the stored proxy can't be read
 */
export function connectionOf(
  account: Account,
  kind: QuotaKind,
  limits: Settings,
): GeminiConnection {
  const isMedia = kind !== 'text';
  const { geminiAppUrl, geminiAuthUrl, geminiApiUrl, geminiVerifyUrl } = env();
  return {
    endpoints: {
      appUrl: geminiAppUrl,
      authUrl: geminiAuthUrl,
      apiUrl: geminiApiUrl,
      verifyUrl: geminiVerifyUrl,
    },
    dispatcher: dispatcherFor(exitOf(account, limits), limits.connectTimeoutMs),
    timeouts: {
      keyMs: limits.keyTimeoutMs,
      sessionMs: limits.sessionTimeoutMs,
      firstContentMs: isMedia ? limits.mediaFirstContentTimeoutMs : limits.firstContentTimeoutMs,
      idleMs: isMedia ? limits.mediaIdleTimeoutMs : limits.idleTimeoutMs,
      uploadMs: limits.uploadTimeoutMs,
      downloadIdleMs: limits.downloadIdleTimeoutMs,
      downloadMs: limits.downloadTimeoutMs,
    },
  };
}
