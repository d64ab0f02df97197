import type { Account } from '@/features/accounts/account-table';
import { DIRECT } from '@/features/accounts/schema';
import type { Settings } from '@/features/settings/schema';
import { GeminiError } from '@/gemini/errors';
import { decrypt } from '@/platform/crypto';
import { isProxyUrl } from '@/platform/proxy-url';

/** More than there are accounts; beyond it the texts of old rows are forgotten. */
const MAX_UNSEALED = 20_000;
// By the sealed text: a change of the row is another text.
const unsealed = new Map<string, string>();

/**
 * The proxy through which the account goes out: its own, else that of the settings; null: direct.
 * Holds credentials: never to be printed.
 * @throws GeminiError `config` if the stored value can't be read with our key
 */
export function exitOf(account: Account, settings: Pick<Settings, 'proxyUrl'>): string | null {
  if (account.sealedProxyUrl === null) return settings.proxyUrl;
  let own = unsealed.get(account.sealedProxyUrl);
  if (own === undefined) {
    own = unseal(account.sealedProxyUrl);
    if (unsealed.size >= MAX_UNSEALED) unsealed.clear();
    unsealed.set(account.sealedProxyUrl, own);
  }
  return own === DIRECT ? null : own;
}

function unseal(sealed: string): string {
  const message = 'The stored proxy of the account cannot be read.';
  let own: string;
  try {
    own = decrypt(sealed);
  } catch (error) {
    throw new GeminiError('config', message, { reason: 'UNREADABLE', cause: error });
  }
  if (own === DIRECT || isProxyUrl(own)) return own;
  throw new GeminiError('config', message, { reason: 'UNREADABLE' });
}
