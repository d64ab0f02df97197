import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { renewTokenAhead } from '@/features/accounts/credentials';
import { backgroundLease, connectionOf } from '@/features/accounts/lease';
import { Settings } from '@/features/settings/schema';
import { type NearUpstream, startNearUpstream } from '../../../e2e/support/near-upstream';

process.env.LOG_LEVEL = 'silent';

const SECOND = 1_000;
const settings = Settings.parse({});

let upstream: NearUpstream;
let account: Account;

beforeEach(async () => {
  upstream = await startNearUpstream(1);
  account = upstream.account(1);
});

afterEach(async () => {
  vi.restoreAllMocks();
  await upstream.close();
});

const fetches = () => upstream.standIn.counts('demo-1').key ?? 0;
const renew = () => renewTokenAhead(account, connectionOf(account, 'text', settings));
const call = () =>
  backgroundLease(account, settings, new AbortController().signal).call(async () => {});
const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

/** Sets the clock so long after the time at which it stands now. */
function later(ms: number): void {
  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + ms);
}

describe('an access token, which lives for 300 s', () => {
  it('is renewed ahead in its last minute, by one fetch', async () => {
    renew();
    await call();
    later(230 * SECOND);
    renew();
    await pause();
    expect(fetches()).toBe(1);
    later(20 * SECOND);
    renew();
    renew();
    await vi.waitFor(() => expect(fetches()).toBe(2));
  });

  it('is left to the next caller once it can’t be used any more', async () => {
    await call();
    later(286 * SECOND);
    renew();
    await pause();
    expect(fetches()).toBe(1);
    await call();
    expect(fetches()).toBe(2);
  });

  it('is not tried to be renewed again at once when that has failed', async () => {
    await call();
    upstream.standIn.setFault('demo-1', { on: 'key', scenario: 'http status=503' });
    later(250 * SECOND);
    renew();
    await vi.waitFor(() => expect(fetches()).toBe(2));
    await pause();
    renew();
    await pause();
    expect(fetches()).toBe(2);
    later(16 * SECOND);
    renew();
    await vi.waitFor(() => expect(fetches()).toBe(3));
  });
});
