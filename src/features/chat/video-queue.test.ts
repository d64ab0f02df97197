import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { inTurn } from '@/features/chat/video-queue';
import { Cancellation } from '@/platform/cancellation';
import { AppError } from '@/platform/errors';

const MINUTE_MS = 60_000;

let cancellation: Cancellation;
beforeEach(() => {
  vi.useFakeTimers();
  cancellation = new Cancellation();
});
afterEach(() => {
  vi.useRealTimers();
});

const busy = (retryAfterMs?: number) => new AppError('rate_limited', 'busy', { retryAfterMs });
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Fails with these, one after the other, and then is there. */
function making(...failures: Error[]) {
  return vi.fn(async () => {
    const failure = failures.shift();
    if (failure) throw failure;
    return 'video';
  });
}

/** So many that are at work until they are told to end. */
function held(count: number) {
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const all = Array.from({ length: count }, (_, index) => {
    const hold = async () => {
      begun.push(index);
      await new Promise<void>((resolve) => ends.push(resolve));
    };
    return inTurn(hold, cancellation).catch(() => {});
  });
  return { all, begun, endFirst: () => ends.shift()?.(), endAll: () => ends.map((end) => end()) };
}

it('tries again as long as the accounts are busy', async () => {
  const make = making(busy(1), busy(), busy(20_000), busy(20 * MINUTE_MS));
  const made = inTurn(make, cancellation);
  await pass(4_999);
  expect(make).toHaveBeenCalledTimes(1);
  await pass(1);
  expect(make).toHaveBeenCalledTimes(2);
  await pass(5_000);
  expect(make).toHaveBeenCalledTimes(3);
  await pass(20_000);
  expect(make).toHaveBeenCalledTimes(4);
  // The accounts may be free before the pool says so.
  await pass(MINUTE_MS);
  expect(await made).toBe('video');
});

it('tries nothing again that no wait mends', async () => {
  const failures = [
    new AppError('upstream_error', 'broken'),
    new Error('wrong'),
    busy(31 * MINUTE_MS),
  ];
  for (const failure of failures) {
    const make = making(failure);
    await expect(inTurn(make, cancellation)).rejects.toBe(failure);
    expect(make).toHaveBeenCalledTimes(1);
  }
});

it('gives up after half an hour', async () => {
  const make = vi.fn(async () => {
    throw busy(MINUTE_MS);
  });
  const made = inTurn(make, cancellation);
  const refused = expect(made).rejects.toMatchObject({ code: 'rate_limited' });
  await pass(31 * MINUTE_MS);
  await refused;
  expect(make).toHaveBeenCalledTimes(31);
});

it('lets eight work at the same time, the others in their order', async () => {
  const { all, begun, endFirst, endAll } = held(10);
  await pass(0);
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  endFirst();
  await pass(0);
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  endAll();
  await pass(0);
  expect(begun).toHaveLength(10);
  endAll();
  await Promise.all(all);
});

it('holds no place between two tries', async () => {
  const paused = inTurn(making(busy(MINUTE_MS)), cancellation);
  await pass(0);
  const { all, begun, endAll } = held(8);
  await pass(0);
  expect(begun).toHaveLength(8);
  endAll();
  await Promise.all(all);
  await pass(MINUTE_MS);
  expect(await paused).toBe('video');
});

it('ends its waits when it is not wanted any more, or when they last too long', async () => {
  const { all, endAll } = held(8);
  await pass(0);
  const make = making();
  const late = expect(inTurn(make, new Cancellation())).rejects.toMatchObject({
    code: 'rate_limited',
  });
  await pass(30 * MINUTE_MS);
  await late;
  const left = expect(inTurn(make, cancellation)).rejects.toMatchObject({ code: 'client_left' });
  cancellation.abort();
  await left;
  endAll();
  await Promise.all(all);
  await expect(inTurn(make, cancellation)).rejects.toMatchObject({ code: 'client_left' });
  expect(make).not.toHaveBeenCalled();

  // All places are free again.
  cancellation = new Cancellation();
  const paused = inTurn(making(busy()), cancellation);
  await pass(0);
  const cut = expect(paused).rejects.toMatchObject({ code: 'client_left' });
  cancellation.abort();
  await cut;
  cancellation = new Cancellation();
  const again = held(8);
  await pass(0);
  expect(again.begun).toHaveLength(8);
  again.endAll();
});
