import { describe, expect, it } from 'vitest';
import { Cancellation } from '@/platform/cancellation';
import { Places } from '@/platform/places';

describe('places', () => {
  it('are given at once as long as there are some, then in the order of the line', async () => {
    const places = new Places(2);
    expect(await places.take()).toBe(true);
    expect(await places.take()).toBe(true);
    const order: string[] = [];
    const first = places.take().then(() => order.push('first'));
    const second = places.take().then(() => order.push('second'));
    expect(places.waiting).toBe(2);
    places.leave();
    await first;
    expect(places.waiting).toBe(1);
    places.leave();
    await second;
    expect(order).toEqual(['first', 'second']);
  });

  it('are not waited for longer than said, nor after the signal', async () => {
    const places = new Places(1);
    await places.take();
    expect(await places.take({ waitMs: 10 })).toBe(false);
    const cancellation = new Cancellation();
    const waiting = places.take({ signal: cancellation, waitMs: 60_000 });
    cancellation.abort();
    expect(await waiting).toBe(false);
    expect(await places.take({ signal: cancellation })).toBe(false);
    expect(places.waiting).toBe(0);
  });

  it('are not lost by those who gave up', async () => {
    const places = new Places(1);
    await places.take();
    await places.take({ waitMs: 1 });
    places.leave();
    expect(await places.take({ waitMs: 1 })).toBe(true);
    expect(await places.take({ waitMs: 1 })).toBe(false);
  });
});
