import { allAccounts } from '@/features/accounts/account-table';
import { renewTokenAhead } from '@/features/accounts/credentials';
import { connectionOf } from '@/features/accounts/lease';
import { accountsInUse } from '@/features/accounts/readiness';
import { settings } from '@/features/settings/settings';
import { log } from '@/platform/log';
import { type Outage, watched } from '@/platform/outage';
import { processState } from '@/platform/process-state';

/**
 * Renews the access tokens of the accounts in use before they are over, by the clock: a caller that
 * comes after a pause of some minutes does not wait for the key host.
 */

const LOOK_EVERY_MS = 5_000;
const IN_USE_MS = 10 * 60_000;
const WHAT = 'renewal of access tokens';

interface Renewal extends Outage {
  timer: NodeJS.Timeout | null;
}

function renewal(): Renewal {
  return processState<Renewal>('token-renewal', () => ({ timer: null, failing: false }));
}

/** Begins to look every 5 s. Safe to call again. */
export function startTokenRenewal(): void {
  const state = renewal();
  state.timer ??= setInterval(watched, LOOK_EVERY_MS, state, WHAT, renewTokens).unref();
}

/** Ends the looking; a renewal under way goes on. */
export function stopTokenRenewal(): void {
  const state = renewal();
  if (state.timer) clearInterval(state.timer);
  state.timer = null;
}

async function renewTokens(): Promise<void> {
  const [accounts, limits] = await Promise.all([allAccounts(), settings()]);
  for (const account of accountsInUse(IN_USE_MS, accounts, limits)) {
    try {
      renewTokenAhead(account, connectionOf(account, 'text', limits));
    } catch (error) {
      // A stored value that can't be read: the next caller meets it, and the account is blamed then.
      log().debug({ account: account.label, err: error }, 'access token not renewed ahead');
    }
  }
}
