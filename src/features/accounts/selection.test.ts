import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextInTurn } from '@/features/accounts/selection';

function picksOf(rounds: string[][]): string[] {
  const lastTurn = new Map<string, number>();
  return rounds.map((ids, turn) => {
    const next = nextInTurn(
      ids.map((id) => ({ id })),
      lastTurn,
    );
    if (!next) throw new Error('nobody');
    lastTurn.set(next.id, turn);
    return next.id;
  });
}

describe('nextInTurn', () => {
  it('finds nobody among nobody', () => {
    expect(nextInTurn([], new Map())).toBeUndefined();
  });

  it('goes round', () => {
    const all = ['a', 'b', 'c'];
    expect(picksOf([all, all, all, all, all]).join('')).toBe('abcab');
  });

  it('gives the turn of one who rests to all others in equal parts', () => {
    const all = ['a', 'b', 'c'];
    const without = ['a', 'c'];
    expect(picksOf([all, without, without, without, without, all]).join('')).toBe('acacab');
  });

  it('is fair whoever comes and goes: nobody present waits longer than the number of the others', () => {
    fc.assert(
      fc.property(fc.array(fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 })), (rounds) => {
        const picks = picksOf(rounds);
        for (const id of ['a', 'b', 'c', 'd']) {
          let waited = 0;
          for (const [round, present] of rounds.entries()) {
            if (picks[round] === id) waited = 0;
            else if (present.includes(id)) waited += 1;
            expect(waited).toBeLessThan(4);
          }
        }
      }),
    );
  });
});
