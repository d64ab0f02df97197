import type { Account } from '@/features/accounts/account-table';
import { mergeHealth } from '@/features/accounts/health';
import { mergeQuotas } from '@/features/accounts/ledger';

/** Forgets all that this process knows, as if it had just begun. */
export function resetProcessState(): void {
  const state: Map<string, unknown> = Reflect.get(globalThis, Symbol.for('business-gemini-pool'));
  state.clear();
}

/** Accounts `a`, `b`, `c` … as the table holds them, without a database: healthy and unused. */
export function handMadeAccounts(...changes: Partial<Account>[]): Map<string, Account> {
  const accounts = changes.map((change, index) => accountOf(idAt(index), change));
  const rows = accounts.map(({ id }) => ({
    id,
    healthEpoch: 0,
    condition: 'ok',
    rests: '{}',
    fault: null,
    reason: null,
    faultAt: null,
  }));
  mergeHealth(rows);
  mergeQuotas(
    accounts.map(({ id }) => id),
    [],
  );
  return new Map(accounts.map((account) => [account.id, account]));
}

function idAt(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : `account-${index}`;
}

function accountOf(id: string, change: Partial<Account>): Account {
  return {
    id,
    label: id,
    csesidx: id,
    configId: 'config',
    userAgent: 'browser',
    enabled: true,
    weight: 1,
    maxConcurrent: null,
    sealedProxyUrl: null,
    limits: { text: null, images: null, videos: null },
    credentialVersion: 1,
    sealedSecureCSes: '',
    sealedHostCOses: null,
    credentialSavedAtMs: 0,
    cookieExpiresAtMs: null,
    ...change,
  };
}
