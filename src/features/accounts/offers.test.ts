import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { reloadAccounts } from '@/features/accounts/account-table';
import { saveAccounts, setEnabled } from '@/features/accounts/accounts';
import { healthEpochOf } from '@/features/accounts/health';
import {
  isRefusedBySome,
  learnFromFailure,
  learnFromSuccess,
  mergeOffers,
  modelsRefusedBy,
  refusedUntilMs,
} from '@/features/accounts/offers';
import { AccountInput } from '@/features/accounts/schema';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, query } from '@/platform/db';
import { flushWriteBehind } from '@/platform/write-behind';
import { newDataFolder } from '../../../e2e/support/data-folder';
import { handMadeAccounts, resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const NOW = Date.parse('2026-11-25T12:00:00Z');
const by = (...ids: string[]) => ids.map((id) => ({ account: { id }, healthEpoch: 0 }));

describe('what is learned', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: NOW - DAY });
    resetProcessState();
    handMadeAccounts({}, {}, {});
    // The process begins here, a day ago.
    mergeOffers([], [], NOW - DAY);
    vi.setSystemTime(NOW);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('counts for a day when another account served the request', () => {
    learnFromSuccess('pro', by('a'), NOW);
    expect(refusedUntilMs('a', 'pro', Date.now())).toBe(NOW + DAY);
    expect([
      refusedUntilMs('b', 'pro', Date.now()),
      refusedUntilMs('a', 'flash', Date.now()),
    ]).toEqual([0, 0]);
    expect([isRefusedBySome('pro'), isRefusedBySome('flash')]).toEqual([true, false]);
    expect(modelsRefusedBy('a', NOW)).toEqual(['pro']);
    expect(modelsRefusedBy('a', NOW + DAY)).toEqual([]);
  });

  it('counts for some minutes when nobody did', () => {
    learnFromFailure('pro', by('a', 'b'), NOW);
    expect(refusedUntilMs('b', 'pro', Date.now())).toBe(NOW + 10 * MINUTE);
  });

  it('is nothing when nobody served a request for a model that others are served with', () => {
    learnFromSuccess('pro', [], NOW);
    learnFromFailure('pro', by('a', 'b', 'c'), NOW + DAY - 1);
    expect(isRefusedBySome('pro')).toBe(false);
    learnFromFailure('pro', by('a'), NOW + DAY);
    expect(isRefusedBySome('pro')).toBe(true);
  });

  it('is nothing unproven while it is not known what was served within a day', () => {
    resetProcessState();
    handMadeAccounts({}, {});
    learnFromFailure('pro', by('a', 'b'), NOW);
    learnFromFailure('pro', by('a', 'b'), NOW + DAY - 1);
    expect(isRefusedBySome('pro')).toBe(false);
    learnFromSuccess('pro', by('a'), NOW);
    expect(refusedUntilMs('a', 'pro', Date.now())).toBe(NOW + DAY);
    learnFromFailure('flash', by('a'), NOW + DAY);
    expect(refusedUntilMs('a', 'flash', NOW + DAY)).toBe(NOW + DAY + 10 * MINUTE);
  });

  it('is over when the clock was set back', () => {
    const aYearAhead = NOW + 365 * DAY;
    const accounts = [{ id: 'a', healthEpoch: 0 }];
    mergeOffers(accounts, [], aYearAhead);
    learnFromSuccess('pro', by('a'), aYearAhead);
    expect(refusedUntilMs('a', 'pro', aYearAhead)).toBe(aYearAhead + DAY);
    expect(refusedUntilMs('a', 'pro', Date.now())).toBe(0);
    expect(modelsRefusedBy('a', NOW)).toEqual([]);
    mergeOffers(accounts, [], NOW);
    expect(isRefusedBySome('pro')).toBe(false);
    const rowAt = (ms: number) => [{ accountId: 'a', upstreamModelId: 'pro', at: new Date(ms) }];
    mergeOffers([], [], NOW);
    mergeOffers(accounts, rowAt(aYearAhead), NOW);
    expect(isRefusedBySome('pro')).toBe(false);
    mergeOffers([], [], NOW);
    mergeOffers(accounts, rowAt(NOW), NOW);
    expect(refusedUntilMs('a', 'pro', Date.now())).toBe(NOW + DAY);
  });

  it('is nothing where the upstream was told no model', () => {
    learnFromSuccess(null, by('a'), NOW);
    learnFromFailure(null, by('a'), NOW);
    expect([refusedUntilMs('a', null, Date.now()), isRefusedBySome(null)]).toEqual([0, false]);
  });

  it('is nothing of an account that began anew meanwhile', () => {
    learnFromSuccess('pro', [{ account: { id: 'a' }, healthEpoch: -1 }], NOW);
    expect(refusedUntilMs('a', 'pro', Date.now())).toBe(0);
  });

  it('is forgotten with the account, with a new epoch, and when it is over', () => {
    const accounts = [
      { id: 'a', healthEpoch: 0 },
      { id: 'b', healthEpoch: 0 },
    ];
    mergeOffers(accounts, [], NOW);
    learnFromSuccess('pro', by('a', 'b', 'c'), NOW);
    mergeOffers(accounts, [], NOW);
    expect(['a', 'b', 'c'].map((id) => refusedUntilMs(id, 'pro', Date.now()))).toEqual([
      NOW + DAY,
      NOW + DAY,
      0,
    ]);
    mergeOffers(
      [
        { id: 'a', healthEpoch: 0 },
        { id: 'b', healthEpoch: 1 },
      ],
      [],
      NOW,
    );
    expect(['a', 'b'].map((id) => refusedUntilMs(id, 'pro', Date.now()))).toEqual([NOW + DAY, 0]);
    mergeOffers(accounts, [], NOW + DAY);
    expect(isRefusedBySome('pro')).toBe(false);
  });
});

describe('in the database', () => {
  const input = (csesidx: string) =>
    AccountInput.parse({ csesidx, configId: 'team', secureCSes: 'CSE.x' });

  /** As if the process began anew. */
  async function restarted(): Promise<void> {
    await flushWriteBehind();
    mergeOffers([], [], Date.now());
    await reloadAccounts();
  }

  it('outlives the process, until the account begins anew', async () => {
    resetProcessState();
    await openDataFolder();
    const { ids } = await saveAccounts([input('1'), input('2')]);
    const [one = '', other = ''] = ids;
    const refusal = (id: string) => ({ account: { id }, healthEpoch: healthEpochOf(id) });
    const known = () => ids.map((id) => refusedUntilMs(id, 'pro', Date.now()) > Date.now());
    learnFromSuccess('pro', [refusal(one), refusal(other)], Date.now());
    await restarted();
    expect(known()).toEqual([true, true]);
    await setEnabled(one, false);
    expect(known()).toEqual([true, true]);
    const late = refusal(one);
    await setEnabled(one, true);
    expect(known()).toEqual([false, true]);
    await saveAccounts([input('2')]);
    expect(known()).toEqual([false, false]);
    learnFromSuccess('pro', [late], Date.now());
    await restarted();
    expect(known()).toEqual([false, false]);
    expect(await query((db) => db.modelRefusal.count())).toBe(0);
  });
});
