import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { advanceLine, isAwaited, queueLength, waitInLine } from '@/features/accounts/wait-queue';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.runAllTimers();
  expect(queueLength()).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

interface Options {
  key?: string;
  caller?: string;
  hasTriedNone?: boolean;
  waitMs?: number;
  signal?: AbortSignal;
}

/** A waiter that takes one of `seats`, and says so in `served`. */
function scene() {
  const free = new Map<string, number>();
  const served: string[] = [];
  const wait = (name: string, options: Options = {}) => {
    const { caller = 'one', key = 'text', hasTriedNone = true, waitMs = 5_000 } = options;
    const { signal = new AbortController().signal } = options;
    const attempt = () => {
      const seats = free.get(key) ?? 0;
      if (seats === 0) return null;
      free.set(key, seats - 1);
      served.push(name);
      return name;
    };
    return waitInLine({ caller, key, hasTriedNone, attempt, waitMs, signal });
  };
  return { free, served, wait };
}

describe('waitInLine', () => {
  it('serves first come, first served', async () => {
    const { free, served, wait } = scene();
    const waits = ['a', 'b', 'c'].map((name) => wait(name));
    expect(queueLength()).toBe(3);
    free.set('text', 2);
    advanceLine();
    expect(served).toEqual(['a', 'b']);
    free.set('text', 1);
    advanceLine();
    expect(await Promise.all(waits)).toEqual(['a', 'b', 'c']);
  });

  it('looks by itself within 50 ms for what no event tells', async () => {
    const { free, wait } = scene();
    const waiting = wait('a');
    await vi.advanceTimersByTimeAsync(1_000);
    free.set('text', 1);
    await vi.advanceTimersByTimeAsync(50);
    expect(await waiting).toBe('a');
  });

  it('does not let those who wait for different things hold each other up', async () => {
    const { free, served, wait } = scene();
    const text = wait('text');
    const images = wait('images', { key: 'images' });
    expect([isAwaited('text'), isAwaited('images'), isAwaited('videos')]).toEqual([
      true,
      true,
      false,
    ]);
    free.set('images', 1);
    advanceLine();
    expect(served).toEqual(['images']);
    expect(await images).toBe('images');
    expect(isAwaited('images')).toBe(false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await text).toBeNull();
  });

  it('ends without a seat once its time is over', async () => {
    const { wait } = scene();
    const waiting = wait('a', { waitMs: 300 });
    await vi.advanceTimersByTimeAsync(299);
    expect(queueLength()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(queueLength()).toBe(0);
    expect(await waiting).toBeNull();
  });

  it('is left at once by one whose caller leaves', async () => {
    const { free, served, wait } = scene();
    const caller = new AbortController();
    const first = wait('a', { signal: caller.signal });
    const second = wait('b');
    caller.abort();
    expect(queueLength()).toBe(1);
    expect(await first).toBeNull();
    free.set('text', 1);
    advanceLine();
    expect(await second).toBe('b');
    expect(served).toEqual(['b']);
  });

  it('is not entered by one whose caller has left', async () => {
    const { wait } = scene();
    const waiting = wait('a', { signal: AbortSignal.abort() });
    expect(queueLength()).toBe(0);
    expect(await waiting).toBeNull();
  });

  it('listens to its caller no longer than it waits', async () => {
    const { free, wait } = scene();
    const { signal } = new AbortController();
    const remove = vi.spyOn(signal, 'removeEventListener');
    const waiting = wait('a', { signal });
    free.set('text', 1);
    advanceLine();
    await waiting;
    expect(remove).toHaveBeenCalledOnce();
  });

  it('ends only the wait whose attempt throws', async () => {
    const { free, wait } = scene();
    const failing = waitInLine({
      key: 'text',
      caller: 'one',
      hasTriedNone: true,
      attempt: () => {
        throw new Error('nobody will come');
      },
      waitMs: 5_000,
      signal: new AbortController().signal,
    });
    const outcome = expect(failing).rejects.toThrow('nobody will come');
    const behind = wait('b');
    free.set('text', 1);
    advanceLine();
    await outcome;
    expect(await behind).toBe('b');
  });

  it('asks no one behind a plain one that finds nothing', async () => {
    const attempt = vi.fn(() => null);
    const signal = new AbortController().signal;
    const { wait } = scene();
    const first = wait('a');
    const second = waitInLine({
      caller: 'one',
      key: 'text',
      hasTriedNone: true,
      attempt,
      waitMs: 5_000,
      signal,
    });
    advanceLine();
    expect(attempt).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await Promise.all([first, second])).toEqual([null, null]);
  });

  it('lets plain ones pass one that is not plain and finds nothing', async () => {
    const { free, wait } = scene();
    const signal = new AbortController().signal;
    const attempt = () => null;
    const picky = waitInLine({
      caller: 'one',
      key: 'text',
      hasTriedNone: false,
      attempt,
      waitMs: 5_000,
      signal,
    });
    const plain = wait('b');
    free.set('text', 1);
    advanceLine();
    expect(await plain).toBe('b');
    expect(queueLength()).toBe(1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await picky).toBeNull();
  });

  it('serves one that is not plain before plain ones behind it', async () => {
    const { free, served, wait } = scene();
    const waits = [wait('picky', { hasTriedNone: false }), wait('plain')];
    free.set('text', 1);
    advanceLine();
    expect(served).toEqual(['picky']);
    free.set('text', 1);
    advanceLine();
    expect(await Promise.all(waits)).toEqual(['picky', 'plain']);
  });
});
