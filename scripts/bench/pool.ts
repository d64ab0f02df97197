import type { Account } from '@/features/accounts/account-table';
import { setHealth } from '@/features/accounts/health';
import { answered, releaseSeat, takeSeat } from '@/features/accounts/seats';
import { healthy } from '@/features/accounts/state';
import { SelectionStrategy, Settings } from '@/features/settings/schema';
import { handMadeAccounts, resetProcessState } from '../../e2e/support/hand-made-accounts';

/** How long the choice among so many accounts takes, in this process, without any network. */
export interface PoolFigures {
  accounts: number;
  /** A whole turn: taken, answered, given back, with 64 others under way. By strategy. */
  turnMicroseconds: Record<SelectionStrategy, number>;
  /** The same, round robin, while nine of ten accounts rest. */
  mostRestingMicroseconds: number;
  /** The first turn after a change of the accounts: all are ranked anew. */
  firstTurnMs: number;
  /** For comparison: one look at each account, as a choice without order would need. */
  scanMicroseconds: number;
}

const SIZES = [10, 1_000, 10_000];
const UNDER_WAY = 64;
const TURNS = 20_000;
const ROUNDS = 5;
const need = {
  kind: 'text',
  modelId: 'gemini-enterprise',
  upstreamModelId: null,
  accountIds: [],
} as const;
const firstTry = { tried: new Set<string>(), passesGuard: false };

/** Measures the pool at 10, 1,000 and 10,000 accounts. */
export function measurePool(): PoolFigures[] {
  return SIZES.map((size) => {
    const byStrategy = SelectionStrategy.options.map((selectionStrategy) => {
      const { accounts } = fill(size);
      return [selectionStrategy, turnMicroseconds(accounts, Settings.parse({ selectionStrategy }))];
    });
    const { accounts, firstTurnMs } = fill(size);
    const scan = scanMicroseconds(accounts);
    rest(accounts);
    return {
      accounts: size,
      turnMicroseconds: Object.fromEntries(byStrategy),
      mostRestingMicroseconds: turnMicroseconds(accounts, Settings.parse({})),
      firstTurnMs,
      scanMicroseconds: scan,
    };
  });
}

function fill(size: number): { accounts: Map<string, Account>; firstTurnMs: number } {
  resetProcessState();
  const accounts = handMadeAccounts(...Array.from({ length: size }, () => ({})));
  const settings = Settings.parse({});
  const startedAt = performance.now();
  turn(accounts, settings);
  return { accounts, firstTurnMs: performance.now() - startedAt };
}

/** Nine of ten rest. */
function rest(accounts: Map<string, Account>): void {
  const rest = { untilMs: Date.now() + 3_600_000, daily: true, failures: 1, turn: 0 };
  [...accounts.keys()].forEach((id, index) => {
    if (index % 10 === 0) return;
    setHealth(id, { ...healthy, rests: { text: { ...rest, fault: 'quota' } } });
  });
}

function turn(accounts: Map<string, Account>, settings: Settings): void {
  const taken = takeSeat(need, firstTry, accounts, settings);
  if (!('turn' in taken)) throw new Error('no account is ready');
  answered(taken);
  releaseSeat(taken);
}

/** The median of some rounds, with other requests under way. */
function turnMicroseconds(accounts: Map<string, Account>, settings: Settings): number {
  const underWay = Array.from({ length: UNDER_WAY }, () =>
    takeSeat(need, firstTry, accounts, settings),
  );
  const rounds = Array.from({ length: ROUNDS }, () => {
    const startedAt = performance.now();
    for (let count = 0; count < TURNS; count++) turn(accounts, settings);
    return ((performance.now() - startedAt) * 1_000) / TURNS;
  });
  for (const taken of underWay) if ('turn' in taken) releaseSeat(taken);
  return median(rounds);
}

function scanMicroseconds(accounts: Map<string, Account>): number {
  const times = Math.max(20, 200_000 / accounts.size);
  let enabled = 0;
  const startedAt = performance.now();
  for (let count = 0; count < times; count++) {
    enabled += [...accounts.values()].filter((account) => account.enabled).length;
  }
  if (enabled === 0) throw new Error('no account is enabled');
  return ((performance.now() - startedAt) * 1_000) / times;
}

function median(values: number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}
