import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextPacificMidnight, pacificDay } from '@/features/accounts/pacific-day';

const HOUR_MS = 3_600_000;
const nextMidnight = (now: string) =>
  new Date(nextPacificMidnight(Date.parse(now))).toISOString().replace('.000Z', 'Z');

describe('nextPacificMidnight', () => {
  it.each([
    ['in winter', '2026-11-25T12:00:00Z', '2026-11-26T08:00:00Z'],
    ['in summer', '2026-07-01T12:00:00Z', '2026-07-02T07:00:00Z'],
    ['just before', '2026-11-26T07:59:59.999Z', '2026-11-26T08:00:00Z'],
    ['just at', '2026-11-26T08:00:00Z', '2026-11-27T08:00:00Z'],
    ['from the start of the day of 23 hours', '2026-03-08T08:00:00Z', '2026-03-09T07:00:00Z'],
    ['just before the clock goes forward', '2026-03-08T09:59:59Z', '2026-03-09T07:00:00Z'],
    ['just after the clock went forward', '2026-03-08T10:00:00Z', '2026-03-09T07:00:00Z'],
    ['at the end of the day of 23 hours', '2026-03-09T06:59:59Z', '2026-03-09T07:00:00Z'],
    ['from the start of the day of 25 hours', '2026-11-01T07:00:00Z', '2026-11-02T08:00:00Z'],
    ['in the hour that comes twice, first', '2026-11-01T08:30:00Z', '2026-11-02T08:00:00Z'],
    ['in the hour that comes twice, again', '2026-11-01T09:30:00Z', '2026-11-02T08:00:00Z'],
    ['at the end of the day of 25 hours', '2026-11-02T07:59:59Z', '2026-11-02T08:00:00Z'],
    ['the day before the clock changes', '2026-10-31T20:00:00Z', '2026-11-01T07:00:00Z'],
  ])('%s', (_, now, midnight) => {
    expect(nextMidnight(now)).toBe(midnight);
  });
});

describe('pacificDay', () => {
  it.each([
    ['before midnight in winter', '2026-11-26T07:59:59.999Z', '2026-11-25'],
    ['at midnight in winter', '2026-11-26T08:00:00Z', '2026-11-26'],
    ['before midnight in summer', '2026-07-02T06:59:59.999Z', '2026-07-01'],
    ['at midnight in summer', '2026-07-02T07:00:00Z', '2026-07-02'],
    ['at the turn of the year', '2027-01-01T07:59:59Z', '2026-12-31'],
    ['in a month and a day of one digit', '2026-01-02T12:00:00Z', '2026-01-02'],
  ])('%s', (_, now, day) => {
    expect(pacificDay(Date.parse(now))).toBe(day);
  });
});

it('ends each day at the midnight that follows, whenever that is asked', () => {
  const times = fc.integer({
    min: Date.parse('2020-01-01T00:00:00Z'),
    max: Date.parse('2040-01-01T00:00:00Z'),
  });
  fc.assert(
    fc.property(times, (nowMs) => {
      const midnightMs = nextPacificMidnight(nowMs);
      expect(midnightMs).toBeGreaterThan(nowMs);
      expect(midnightMs - nowMs).toBeLessThanOrEqual(25 * HOUR_MS);
      expect(pacificDay(midnightMs - 1)).toBe(pacificDay(nowMs));
      expect(pacificDay(midnightMs) > pacificDay(nowMs)).toBe(true);
    }),
  );
});
