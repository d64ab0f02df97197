import { beforeEach, describe, expect, it } from 'vitest';
import {
  accountOfConversation,
  conversationCount,
  keepConversation,
  takeConversation,
  tidyConversations,
} from '@/features/chat/conversations';
import type { UpstreamSession } from '@/features/chat/upstream-sessions';
import { Settings } from '@/features/settings/schema';
import { processState } from '@/platform/process-state';
import { resetProcessState } from '../../../e2e/support/hand-made-accounts';

const limits = Settings.parse({});
const MINUTE = 60_000;

beforeEach(resetProcessState);

const session = (name: string, change: Partial<UpstreamSession> = {}): UpstreamSession => ({
  name,
  accountId: 'a',
  fileIds: null,
  createdAtMs: Date.now(),
  turns: 1,
  ...change,
});
const keep = (hash: string, kept: UpstreamSession, id: string | null = null, within = limits) =>
  keepConversation(hash, kept, id, within);
const prefix = (hash: string, length = 2) => ({ hash, length });
const take = (hash: string, id: string | null = null, accountId = 'a') =>
  takeConversation([prefix(hash)], id, accountId, limits)?.session.name;

/** The sessions that are to be deleted. */
function left(): string[] {
  const none = () => ({ waiting: new Map<string, Set<string>>() });
  return [...processState('upstream-sessions', none).waiting.values()].flatMap((names) => [
    ...names,
  ]);
}

describe('a remembered session', () => {
  it('is taken once', () => {
    keep('h', session('s'));
    expect(accountOfConversation([prefix('h')], null, limits)).toBe('a');
    expect(take('h')).toBe('s');
    expect(take('h')).toBeUndefined();
    expect(accountOfConversation([prefix('h')], null, limits)).toBeNull();
    expect([conversationCount(), left()]).toEqual([0, []]);
  });

  it('is the one that has seen most', () => {
    keep('short', session('s'));
    keep('long', session('l', { accountId: 'b' }));
    const prefixes = [prefix('unknown', 6), prefix('long', 4), prefix('short', 2)];
    expect(accountOfConversation(prefixes, null, limits)).toBe('b');
    expect(takeConversation(prefixes, null, 'b', limits)).toMatchObject({ length: 4 });
    keep('long', session('l', { accountId: 'b' }));
    // On another account it is of no use.
    expect(takeConversation(prefixes, null, 'a', limits)).toMatchObject({ length: 2 });
  });

  it('is that of the conversation that the caller names, else any', () => {
    keep('h', session('one'), 'id-1');
    keep('h', session('two'), 'id-2');
    keep('h', session('three'));
    expect(take('h', 'id-1')).toBe('one');
    expect(take('h', 'id-1')).toBe('three');
    expect(take('h')).toBe('two');
  });

  it('is not used once it is old or was asked often, and is left', async () => {
    const createdAtMs = Date.now() - 51 * MINUTE;
    keep('old', session('old', { createdAtMs }));
    keep('worn', session('worn', { turns: 20 }));
    expect([conversationCount(), left()]).toEqual([0, ['old', 'worn']]);
    keep('h', session('s', { turns: 19 }));
    await tidyConversations(limits, Date.now() + 49 * MINUTE);
    expect(conversationCount()).toBe(1);
    await tidyConversations(limits, Date.now() + 51 * MINUTE);
    expect([conversationCount(), left()]).toEqual([0, ['old', 'worn', 's']]);
  });
});

describe('the number of remembered sessions', () => {
  it('is bounded: the one that was answered least recently goes', async () => {
    const two = { ...limits, continuationLimit: 2 };
    keep('a', session('a'), null, two);
    keep('b', session('b'), null, two);
    keep('a', session('a2'), null, two);
    expect([conversationCount(), left()]).toEqual([2, ['b']]);
    await tidyConversations({ ...limits, continuationLimit: 1 }, Date.now());
    expect([conversationCount(), left()]).toEqual([0, ['b', 'a', 'a2']]);
    for (const name of ['c', 'd', 'e', 'f']) keep(name, session(name), null, two);
    expect(left().slice(3)).toEqual(['c', 'd']);
    expect([take('e'), take('f')]).toEqual(['e', 'f']);
  });

  it('goes down to a lowered limit by the clock, while others run', async () => {
    for (let number = 0; number < 1_000; number++) keep(`${number}`, session(`${number}`));
    const ten = { ...limits, continuationLimit: 10 };
    keep('new', session('new'), null, ten);
    expect(conversationCount()).toBe(1_000);
    const tidied = tidyConversations(ten, Date.now());
    expect(conversationCount()).toBeGreaterThan(500);
    await tidied;
    expect([conversationCount(), take('new'), left().length]).toEqual([10, 'new', 991]);
  });

  it('is bounded for what is alike', () => {
    for (const name of ['1', '2', '3', '4', '5', '6']) keep('h', session(name));
    expect([conversationCount(), left()]).toEqual([4, ['1', '2']]);
    expect(take('h')).toBe('6');
  });

  it('may be none', () => {
    keep('h', session('s'), null, { ...limits, continuationLimit: 0 });
    expect([conversationCount(), left()]).toEqual([0, ['s']]);
  });
});
