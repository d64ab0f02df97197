import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterRefusal, afterUse, leftOn, type Quota, usedOn } from '@/features/accounts/quota';

const DAY = '2026-11-25';
const NEXT_DAY = '2026-11-26';

describe('uses', () => {
  it('begins at nothing', () => {
    expect(usedOn(undefined, DAY)).toBe(0);
    expect(leftOn(undefined, null, DAY)).toBeNull();
  });

  it('adds up within a day, and begins anew with the next', () => {
    const quota = afterUse(afterUse(undefined, DAY, 1), DAY, 2);
    expect(usedOn(quota, DAY)).toBe(3);
    expect(usedOn(quota, NEXT_DAY)).toBe(0);
    expect(usedOn(afterUse(quota, NEXT_DAY, 1), NEXT_DAY)).toBe(1);
  });
});

describe('a learned limit', () => {
  it('is what was used when the upstream refused', () => {
    const spent = afterRefusal(afterUse(undefined, DAY, 3), DAY);
    expect(spent).toEqual({ day: DAY, used: 3, learnedLimit: 3 });
    expect(leftOn(spent, null, DAY)).toBe(0);
  });

  it('holds on the next day', () => {
    const spent = afterRefusal(afterUse(undefined, DAY, 3), DAY);
    expect(leftOn(spent, null, NEXT_DAY)).toBe(3);
    expect(leftOn(afterUse(spent, NEXT_DAY, 1), null, NEXT_DAY)).toBe(2);
  });

  it('is not learned from a refusal before the first use', () => {
    expect(afterRefusal(undefined, DAY).learnedLimit).toBeNull();
    const spent = afterRefusal(afterUse(undefined, DAY, 3), DAY);
    expect(afterRefusal(spent, NEXT_DAY).learnedLimit).toBe(3);
  });

  it('falls with an earlier refusal, and grows when there turns out to be more', () => {
    const spent = afterRefusal(afterUse(undefined, DAY, 3), DAY);
    expect(afterRefusal(afterUse(spent, NEXT_DAY, 2), NEXT_DAY).learnedLimit).toBe(2);
    expect(afterUse(spent, NEXT_DAY, 5).learnedLimit).toBe(5);
  });
});

describe("the operator's limit", () => {
  it('counts rather than the learned one', () => {
    const spent = afterRefusal(afterUse(undefined, DAY, 3), DAY);
    expect(leftOn(spent, 10, DAY)).toBe(7);
    expect(leftOn(spent, 2, DAY)).toBe(0);
    expect(leftOn(undefined, 0, DAY)).toBe(0);
  });
});

it('never counts a use of another day, and never owes', () => {
  const event = fc.record({
    isNewDay: fc.boolean(),
    isRefusal: fc.boolean(),
    count: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(event), fc.option(fc.integer({ min: 0, max: 9 })), (events, limit) => {
      let quota: Quota | undefined;
      let dayNumber = 0;
      let used = 0;
      for (const { isNewDay, isRefusal, count } of events) {
        if (isNewDay) {
          dayNumber += 1;
          used = 0;
        }
        const day = `day ${dayNumber}`;
        if (!isRefusal) used += count;
        quota = isRefusal ? afterRefusal(quota, day) : afterUse(quota, day, count);
        expect(usedOn(quota, day)).toBe(used);
        expect(quota.learnedLimit ?? used).toBeGreaterThanOrEqual(used);
        expect(leftOn(quota, limit, day) ?? 0).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});
