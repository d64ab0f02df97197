import { expect, it } from 'vitest';
import { BodyShare } from '@/api/openai/body-budget';

const MIB = 1_048_576;

it('lets large bodies share the memory, and one of any size alone', () => {
  const one = new BodyShare();
  const other = new BodyShare();
  one.hold(100 * MIB);
  expect(() => other.hold(MIB)).toThrow(expect.objectContaining({ code: 'rate_limited' }));
  other.hold(1_000);
  one.hold(32 * MIB);
  other.hold(32 * MIB);
  expect(() => other.hold(33 * MIB)).toThrow(expect.objectContaining({ retryAfterMs: 2_000 }));
  expect(other.mayHold(33 * MIB)).toBe(false);
  expect(other.mayHold(16 * MIB)).toBe(true);
  one.release();
  one.release();
  other.hold(64 * MIB);
  other.release();
});
