import type { Account } from '@/features/accounts/account-table';
import { DIRECT } from '@/features/accounts/schema';
import type { Settings } from '@/features/settings/schema';
import { GeminiError } from '@/gemini/errors';
import { decrypt } from '@/platform/crypto';

// By the object that a load of the table made: a change of the row is another object.
const unsealed = new WeakMap<Account, string>();

/**
 * The proxy through which the account goes out: its own, else that of the settings; null: direct.
 * Holds credentials: never to be printed.
 * @throws GeminiError `config` if the stored value can't be read with our key
 */
export function exitOf(account: Account, settings: Pick<Settings, 'proxyUrl'>): string | null {
  if (account.sealedProxyUrl === null) return settings.proxyUrl;
  let own = unsealed.get(account);
  if (own === undefined) {
    own = unseal(account.sealedProxyUrl);
    unsealed.set(account, own);
  }
  return own === DIRECT ? null : own;
}

function unseal(sealed: string): string {
  try {
    return decrypt(sealed);
  } catch (error) {
    const message = 'The stored proxy of the account cannot be read.';
    throw new GeminiError('config', message, { reason: 'UNREADABLE', cause: error });
  }
}
