import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { setEnabled } from '@/features/accounts/accounts';
import { currentSeats } from '@/features/accounts/seat-table';
import { fillStock, stockSize, takeStocked } from '@/features/chat/session-stock';
import { Settings } from '@/features/settings/schema';
import { settings, updateSettings } from '@/features/settings/settings';
import { processState } from '@/platform/process-state';
import { type NearUpstream, startNearUpstream } from '../../../e2e/support/near-upstream';

process.env.LOG_LEVEL = 'silent';

/** As a request had them at its beginning. */
const before = Settings.parse({});

let upstream: NearUpstream;
let account: Account;

beforeEach(async () => {
  upstream = await startNearUpstream(1);
  account = upstream.account(1);
});

afterEach(() => upstream.close());

const made = () => upstream.standIn.counts('demo-1').createSession ?? 0;
const quiet = () => new Promise((resolve) => setTimeout(resolve, 300));

describe('the stock behind a request', () => {
  it('is filled by the settings in force, which the pool keeps', async () => {
    await updateSettings({ sessionStockPerAccount: 3 });
    currentSeats(new Map([[account.id, account]]), await settings());
    fillStock(account, before);
    await vi.waitFor(() => expect(stockSize()).toBe(3));
    const pool = processState('seats', () => ({ settings: before }));
    expect(pool.settings).toBe(await settings());
    expect(takeStocked(account, before)).toMatchObject({ accountId: account.id, turns: 0 });
  });

  it('is not filled with cookies that are not in force any more', async () => {
    fillStock({ ...account, credentialVersion: 0 }, before);
    await quiet();
    expect(made()).toBe(0);
    fillStock(account, before);
    await vi.waitFor(() => expect(stockSize()).toBe(1));
  });

  it('is not filled once its account is disabled', async () => {
    await setEnabled(account.id, false);
    fillStock(account, before);
    await quiet();
    expect(made()).toBe(0);
  });
});
