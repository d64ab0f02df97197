import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Roster } from '@/features/accounts/roster';
import { type Candidate, effectiveWeight, rankOf } from '@/features/accounts/selection';
import type { SelectionStrategy } from '@/features/settings/schema';

interface Member extends Candidate {
  isReady: boolean;
  turns: number;
}

/** A pool in small, with the claim rule of `seats.ts`. */
function smallPool(strategy: SelectionStrategy, weights: number[]) {
  const roster = new Roster(weights.length);
  const members = weights.map((weight, position): Member => {
    const idle = { inFlight: 0, pass: 0, headroom: 1, isSlow: false, isReady: true, turns: 0 };
    return { position, weight, ...idle };
  });
  let virtualTime = 0;
  const put = (member: Member) => {
    const { position, isReady } = member;
    const wakeAtMs = Number.POSITIVE_INFINITY;
    roster.put(position, { ...rankOf(strategy, member), isReady, wakeAtMs, returnAtMs: 0 });
  };
  for (const member of members) put(member);
  return {
    set(position: number, change: Partial<Member>) {
      const member = members[position];
      if (member) put(Object.assign(member, change));
    },
    /** Gives a turn; it lasts until `inFlight` is set. */
    take(random = 0): number {
      const place = strategy === 'weighted_random' ? roster.draw(random) : roster.first();
      const member = members[place];
      if (!member) return -1;
      member.turns += 1;
      member.inFlight += 1;
      virtualTime = Math.max(virtualTime, member.pass);
      member.pass = virtualTime + 1 / effectiveWeight(member);
      put(member);
      return place;
    },
    turns: () => members.map((member) => member.turns),
  };
}

const tenEqual: number[] = new Array(10).fill(1);

function repeat(times: number, step: (index: number) => void): void {
  for (let index = 0; index < times; index++) step(index);
}

function spread(turns: number[]): number {
  return Math.max(...turns) / Math.min(...turns);
}

describe('round_robin', () => {
  it('goes round in the order in which the accounts came', () => {
    const pool = smallPool('round_robin', [1, 1, 1]);
    expect([1, 2, 3, 4, 5, 6].map(() => pool.take())).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('finds nobody where nobody is ready', () => {
    const pool = smallPool('round_robin', [1]);
    pool.set(0, { isReady: false });
    expect(pool.take()).toBe(-1);
  });

  it('is fair over 10,000 turns', () => {
    const pool = smallPool('round_robin', tenEqual);
    repeat(10_000, () => pool.take());
    expect(spread(pool.turns())).toBeLessThan(1.05);
  });

  it('is fair over 10,000 turns although one or two rest at any time', () => {
    const pool = smallPool('round_robin', tenEqual);
    repeat(10_000, (turn) => {
      pool.set(Math.floor(turn / 50) % 10, { isReady: turn % 50 === 49 });
      pool.set((Math.floor(turn / 70) + 5) % 10, { isReady: turn % 70 === 69 });
      pool.take();
    });
    expect(spread(pool.turns())).toBeLessThan(1.05);
  });

  it('gives the turns of one who rests to all others in equal parts', () => {
    const pool = smallPool('round_robin', tenEqual);
    pool.set(3, { isReady: false });
    repeat(900, () => pool.take());
    expect(pool.turns()).toEqual([100, 100, 100, 0, 100, 100, 100, 100, 100, 100]);
  });

  it('does not let one who was away make up for it', () => {
    const pool = smallPool('round_robin', tenEqual);
    pool.set(3, { isReady: false });
    repeat(900, () => pool.take());
    pool.set(3, { isReady: true });
    repeat(100, () => pool.take());
    expect(pool.turns()[3]).toBeGreaterThanOrEqual(10);
    expect(pool.turns()[3]).toBeLessThanOrEqual(11);
  });

  it('shares 1:2:3 by weight', () => {
    const pool = smallPool('round_robin', [1, 2, 3]);
    repeat(6_000, () => pool.take());
    const [one = 0, two = 0, three = 0] = pool.turns();
    expect(two / one).toBeCloseTo(2, 1);
    expect(three / one).toBeCloseTo(3, 1);
  });

  it('mixes the turns of a heavy account with those of the others', () => {
    const pool = smallPool('round_robin', [1, 3]);
    const turns = Array.from({ length: 40 }, () => pool.take()).join('');
    expect(turns).not.toMatch(/1{5}|00/);
  });

  it('lets nobody present wait for more than two turns of each other, whoever comes and goes', () => {
    const ids = [0, 1, 2, 3];
    fc.assert(
      fc.property(fc.array(fc.subarray(ids, { minLength: 1 })), (rounds) => {
        const pool = smallPool('round_robin', [1, 1, 1, 1]);
        const waited = [0, 0, 0, 0];
        for (const present of rounds) {
          for (const id of ids) pool.set(id, { isReady: present.includes(id) });
          const taken = pool.take();
          expect(present).toContain(taken);
          for (const id of present) waited[id] = id === taken ? 0 : (waited[id] ?? 0) + 1;
          expect(Math.max(...waited)).toBeLessThanOrEqual(6);
        }
      }),
    );
  });
});

describe('least_in_flight', () => {
  it('balances what is under way', () => {
    const pool = smallPool('least_in_flight', tenEqual);
    repeat(30, () => pool.take());
    expect(pool.turns()).toEqual(new Array(10).fill(3));
  });

  it('balances by weight', () => {
    const pool = smallPool('least_in_flight', [1, 2]);
    repeat(30, () => pool.take());
    expect(pool.turns()).toEqual([10, 20]);
  });

  it('takes the least busy, of those the one that waited longest', () => {
    const pool = smallPool('least_in_flight', [1, 1, 1]);
    pool.set(0, { inFlight: 5 });
    pool.set(1, { inFlight: 2 });
    pool.set(2, { inFlight: 3 });
    expect([pool.take(), pool.take()]).toEqual([1, 2]);
  });

  it('goes round while all are idle', () => {
    const pool = smallPool('least_in_flight', tenEqual);
    repeat(1_000, () => pool.set(pool.take(), { inFlight: 0 }));
    expect(spread(pool.turns())).toBeLessThan(1.05);
  });
});

describe('fill_first', () => {
  it('sticks to the first of the heaviest', () => {
    const pool = smallPool('fill_first', [1, 2, 2]);
    repeat(100, () => pool.take());
    expect(pool.turns()).toEqual([0, 100, 0]);
  });

  it('goes on to the next while that one rests, and comes back to it', () => {
    const pool = smallPool('fill_first', [1, 2, 2]);
    pool.set(1, { isReady: false });
    expect([pool.take(), pool.take()]).toEqual([2, 2]);
    pool.set(2, { isReady: false });
    expect(pool.take()).toBe(0);
    pool.set(1, { isReady: true });
    expect(pool.take()).toBe(1);
  });
});

describe('weighted_random', () => {
  it('draws 1:2:3 by weight', () => {
    const pool = smallPool('weighted_random', [1, 2, 3]);
    repeat(6_000, (turn) => pool.take((turn + 0.5) / 6_000));
    expect(pool.turns()).toEqual([1_000, 2_000, 3_000]);
  });

  it('draws in proportion to what is left of the quota', () => {
    const pool = smallPool('weighted_random', [1, 1]);
    pool.set(0, { headroom: 0.25 });
    repeat(1_000, (turn) => pool.take((turn + 0.5) / 1_000));
    expect(pool.turns()).toEqual([200, 800]);
  });
});

describe('headroom', () => {
  it('lessens the weight, but never to nothing', () => {
    const candidate = { position: 0, weight: 4, inFlight: 0, pass: 0, isSlow: false };
    const weights = [1, 0.5, 0.1, 0.01, 0].map((headroom) =>
      effectiveWeight({ ...candidate, headroom }),
    );
    expect(weights).toEqual([4, 2, 0.4, 0.4, 0.4]);
  });

  it('lessens the share of the turns', () => {
    const pool = smallPool('round_robin', [1, 1, 1]);
    pool.set(0, { headroom: 0.5 });
    pool.set(1, { headroom: 0.01 });
    repeat(1_600, () => pool.take());
    const [half = 0, little = 0, whole = 0] = pool.turns();
    expect(half / whole).toBeCloseTo(0.5, 1);
    expect(little / whole).toBeCloseTo(0.1, 1);
  });
});

describe.each(['round_robin', 'least_in_flight', 'weighted_random', 'fill_first'] as const)(
  'with %s',
  (strategy) => {
    it.each([{ headroom: 0 }, { isSlow: true }])(
      'an account of %j comes last, but serves where nobody else does',
      (change) => {
        const pool = smallPool(strategy, [1_000, 1]);
        pool.set(0, change);
        repeat(1_000, (turn) => pool.take((turn + 0.5) / 1_000));
        expect(pool.turns()).toEqual([0, 1_000]);
        pool.set(1, { isReady: false });
        expect(pool.take(0.5)).toBe(0);
      },
    );
  },
);
