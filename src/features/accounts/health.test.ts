import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  followClock,
  healthEpochOf,
  healthOf,
  mergeHealth,
  setHealth,
  toRow,
} from '@/features/accounts/health';
import { type Health, healthy } from '@/features/accounts/state';
import { resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.LOG_LEVEL = 'silent';

const NOW = Date.parse('2026-11-25T12:00:00Z');

beforeEach(() => {
  resetProcessState();
  vi.useFakeTimers({ now: NOW });
});

afterEach(() => {
  vi.useRealTimers();
});

const resting: Health = {
  condition: 'ok',
  rests: {
    text: { untilMs: NOW + 10_000, daily: false, fault: 'overload', failures: 2, turn: 0 },
    images: { untilMs: NOW + 72_000_000, daily: true, fault: 'quota', failures: 1, turn: 0 },
  },
  fault: 'overload',
  reason: 'LLM_OVERLOADED',
  faultAtMs: NOW,
};

function rowOf(health: Health, healthEpoch = 0) {
  return { id: 'a', healthEpoch, ...toRow(health) };
}

describe('healthOf', () => {
  it('is healthy where nothing is known', () => {
    expect(healthOf('unknown')).toEqual(healthy);
    expect(healthEpochOf('unknown')).toBe(0);
  });

  it('comes back from the row as it went, but for the turns, which end with a process', () => {
    const { text } = resting.rests;
    const kept = { ...resting, rests: { ...resting.rests, ...(text && { text }) } };
    mergeHealth([
      rowOf({ ...kept, rests: { ...kept.rests, ...(text && { text: { ...text, turn: 9 } }) } }),
    ]);
    expect(healthOf('a')).toEqual(resting);
  });
});

describe('mergeHealth', () => {
  it('keeps what this process knows within an epoch', () => {
    mergeHealth([rowOf(healthy)]);
    setHealth('a', resting);
    mergeHealth([rowOf(healthy)]);
    expect(healthOf('a')).toBe(resting);
  });

  it('lets a newer epoch win', () => {
    mergeHealth([rowOf(healthy)]);
    setHealth('a', resting);
    mergeHealth([rowOf(healthy, 1)]);
    expect(healthOf('a')).toEqual(healthy);
    expect(healthEpochOf('a')).toBe(1);
  });

  it('forgets accounts that are gone, whose health nobody can set any more', () => {
    mergeHealth([rowOf(resting)]);
    mergeHealth([]);
    setHealth('a', resting);
    expect(healthOf('a')).toEqual(healthy);
  });
});

describe('followClock', () => {
  beforeEach(() => {
    mergeHealth([rowOf(resting)]);
    expect(followClock()).toBe(0);
  });

  it('sees no jump in time that passes, or in the small steps of a synchronised clock', () => {
    vi.advanceTimersByTime(3_600_000);
    vi.setSystemTime(Date.now() + 1_999);
    expect(followClock()).toBe(0);
    expect(healthOf('a')).toEqual(resting);
  });

  it.each([3_600_000, -3_600_000])('moves rests with a clock that was set by %i ms', (jumpMs) => {
    vi.setSystemTime(NOW + jumpMs);
    expect(followClock()).toBe(jumpMs);
    expect(healthOf('a').rests).toMatchObject({
      text: { untilMs: NOW + 10_000 + jumpMs },
      images: { untilMs: NOW + 72_000_000 },
    });
    expect(followClock()).toBe(0);
  });
});
