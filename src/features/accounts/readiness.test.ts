import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account } from '@/features/accounts/account-table';
import { type Scope, takeProbe } from '@/features/accounts/guard';
import { setHealth } from '@/features/accounts/health';
import { accountsInUse, mayBeAsked } from '@/features/accounts/readiness';
import { poolGuards, releaseSeat, takeSeat } from '@/features/accounts/seats';
import { type Health, healthy } from '@/features/accounts/state';
import { Settings } from '@/features/settings/schema';
import { GeminiError } from '@/gemini/errors';
import { handMadeAccounts, resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.LOG_LEVEL = 'silent';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const MINUTE = 60_000;
const settings = Settings.parse({});

let accounts: Map<string, Account>;

beforeEach(() => {
  resetProcessState();
  vi.useFakeTimers({ now: NOW });
  accounts = handMadeAccounts({}, {}, { enabled: false });
});

afterEach(() => {
  vi.useRealTimers();
});

const asked = () => [...accounts.keys()].filter((id) => mayBeAsked(id, accounts, settings));
const inUse = () => accountsInUse(MINUTE, accounts, settings).map(({ id }) => id);

/** A request on every account that takes one. */
function useAll(): void {
  const need = { kind: 'text', modelId: 'm', upstreamModelId: null, accountIds: [] } as const;
  const options = { tried: new Set<string>(), passesGuard: false };
  for (const _ of accounts) {
    const taken = takeSeat(need, options, accounts, settings);
    if ('turn' in taken) releaseSeat(taken);
  }
}

function resting(untilMs: number): Health {
  const rest = { untilMs, daily: false, fault: 'overload', failures: 1, turn: 0 } as const;
  return { ...healthy, rests: { text: rest }, fault: 'overload' };
}

function open(scope: Scope): void {
  const failure = new GeminiError('egress', 'it failed');
  const guard = { signature: '', accounts: [], requests: [], sinceMs: NOW };
  poolGuards().set(scope, { ...guard, open: { failure, probeAtMs: NOW, waitMs: 1_000 } });
}

describe('work in the background', () => {
  it('may ask the accounts that are well', () => {
    expect(asked()).toEqual(['a', 'b']);
    expect(mayBeAsked('unknown', accounts, settings)).toBe(false);
  });

  it.each<[string, Health]>([
    ['rests', resting(NOW + MINUTE)],
    ['has rested, and not served yet', resting(NOW - 1)],
    ['needs a human', { ...healthy, condition: 'needs_human' }],
  ])('leaves in peace one that %s', (_, health) => {
    useAll();
    setHealth('a', health);
    expect(asked()).toEqual(['b']);
    expect(inUse()).toEqual(['b']);
  });

  it.each<Scope>(['upstream', 'exit direct'])('waits while a guard watches the %s', (scope) => {
    useAll();
    open(scope);
    expect([asked(), inUse()]).toEqual([[], []]);
    takeProbe(poolGuards(), scope, NOW);
    expect(asked()).toEqual([]);
    poolGuards().delete(scope);
    expect(asked()).toEqual(['a', 'b']);
  });
});

describe('the accounts in use', () => {
  it('are those that a request has taken lately', () => {
    expect(inUse()).toEqual([]);
    useAll();
    expect(inUse()).toEqual(['a', 'b']);
    vi.advanceTimersByTime(MINUTE + 1);
    expect(inUse()).toEqual([]);
  });
});
