import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Roster, type Standing } from '@/features/accounts/roster';

const NEVER = Number.POSITIVE_INFINITY;

function ready(major: number, minor: number, weight = 1): Standing {
  return { isReady: true, major, minor, weight, wakeAtMs: NEVER, returnAtMs: 0 };
}

function away(wakeAtMs: number, returnAtMs = wakeAtMs): Standing {
  return { isReady: false, major: 0, minor: 0, weight: 1, wakeAtMs, returnAtMs };
}

function rosterOf(standings: Standing[]): Roster {
  const roster = new Roster(standings.length);
  for (const [place, standing] of standings.entries()) roster.put(place, standing);
  return roster;
}

describe('Roster', () => {
  it.each([0, 1, 2, 3])('has nobody as long as nobody is put on its %i places', (places) => {
    const roster = new Roster(places);
    expect(roster.first()).toBe(-1);
    expect(roster.draw(0.5)).toBe(-1);
    expect(roster.due(NEVER)).toBe(-1);
    expect(roster.returnAtMs).toBe(NEVER);
  });

  it('orders by major, then minor, then place', () => {
    expect(rosterOf([ready(2, 0), ready(1, 9), ready(1, 8), ready(1, 8)]).first()).toBe(2);
  });

  it('knows who wakes first, once the time has come', () => {
    const roster = rosterOf([away(300), away(100), away(200), ready(0, 0)]);
    expect(roster.due(99)).toBe(-1);
    expect(roster.due(100)).toBe(1);
    roster.put(1, ready(0, 0));
    expect(roster.due(100)).toBe(-1);
    expect(roster.due(200)).toBe(2);
  });

  it('tells a look that is due from a return', () => {
    const roster = rosterOf([away(100, NEVER), away(900, 500)]);
    expect(roster.due(100)).toBe(0);
    expect(roster.returnAtMs).toBe(500);
  });

  it('draws by weight, and only the ready ones', () => {
    const roster = rosterOf([ready(0, 0, 1), away(NEVER), ready(0, 0, 2), ready(0, 0, 3)]);
    const counts = [0, 0, 0, 0];
    for (let draw = 0; draw < 6_000; draw++) {
      const place = roster.draw((draw + 0.5) / 6_000);
      counts[place] = (counts[place] ?? 0) + 1;
    }
    expect(counts).toEqual([1_000, 0, 2_000, 3_000]);
  });
});

/** The same, by looking at all. */
const naive = {
  first(standings: (Standing | undefined)[]): number {
    const order = standings
      .map((standing, place) => ({ standing, place }))
      .filter(({ standing }) => standing?.isReady)
      .sort((one, other) => {
        const { major = 0, minor = 0 } = one.standing ?? {};
        return major - (other.standing?.major ?? 0) || minor - (other.standing?.minor ?? 0);
      });
    return order[0]?.place ?? -1;
  },
  draw(standings: (Standing | undefined)[], random: number): number {
    const weights = standings.map((each) => (each?.isReady ? each.weight : 0));
    let left = random * weights.reduce((sum, weight) => sum + weight, 0);
    return weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
  },
  due(standings: (Standing | undefined)[], nowMs: number): number {
    const wakes = standings.map((each) => each?.wakeAtMs ?? NEVER);
    const soonest = Math.min(NEVER, ...wakes);
    return soonest <= nowMs && soonest < NEVER ? wakes.indexOf(soonest) : -1;
  },
  returnAtMs(standings: (Standing | undefined)[]): number {
    return Math.min(NEVER, ...standings.map((each) => each?.returnAtMs ?? NEVER));
  },
};

it('agrees with one that looks at all, whatever is put where', () => {
  const small = fc.integer({ min: 0, max: 5 });
  const time = fc.oneof(small, fc.constant(NEVER));
  const standing: fc.Arbitrary<Standing> = fc.record({
    isReady: fc.boolean(),
    major: small,
    minor: small,
    weight: fc.integer({ min: 1, max: 9 }),
    wakeAtMs: time,
    returnAtMs: time,
  });
  const put = fc.record({
    place: fc.nat(),
    standing,
    nowMs: small,
    // Of 1,024ths, so that no sum is rounded.
    random: fc.integer({ min: 0, max: 1_023 }).map((part) => part / 1_024),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(put), (places, puts) => {
      const roster = new Roster(places);
      const model: (Standing | undefined)[] = new Array(places).fill(undefined);
      for (const { place, standing, nowMs, random } of puts) {
        roster.put(place % places, standing);
        model[place % places] = standing;
        expect(roster.first()).toBe(naive.first(model));
        expect(roster.draw(random)).toBe(naive.draw(model, random));
        expect(roster.due(nowMs)).toBe(naive.due(model, nowMs));
        expect(roster.returnAtMs).toBe(naive.returnAtMs(model));
      }
    }),
  );
});
