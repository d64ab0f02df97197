import { setImmediate as breath } from 'node:timers/promises';
import type { Prefix } from '@/features/chat/continuation';
import { leaveSession, saveSession, type UpstreamSession } from '@/features/chat/upstream-sessions';
import type { Settings } from '@/features/settings/schema';
import { processState } from '@/platform/process-state';

/**
 * The upstream sessions that can be continued, by the hash of what each has seen. A session that is
 * taken is in nobody else's hands, so that the same conversation under way twice has two.
 */

interface Remembered {
  session: UpstreamSession;
  /** The caller's own name for it. */
  conversationId: string | null;
}

interface Memory {
  /** By hash, the least recently answered first. Those of one hash are alike in all that they saw. */
  byHash: Map<string, Remembered[]>;
  size: number;
  /** Goes on from the last that had to go: a map that is begun anew would pass all its holes again. */
  oldest: MapIterator<[string, Remembered[]]> | null;
}

export type ConversationLimits = Pick<
  Settings,
  'continuationLimit' | 'continuationMaxAgeMs' | 'continuationMaxTurns'
>;

/** A caller that says the same thing over and over has no use for all the sessions. */
const MAX_ALIKE = 4;
/** So many hold the event loop for some milliseconds. */
const LOOKED_AT_ONCE = 10_000;
/** To leave a session takes as long as to look at so many, at worst. */
const LOOKS_TO_LEAVE = 100;

function memory(): Memory {
  return processState<Memory>('conversations', () => ({
    byHash: new Map(),
    size: 0,
    oldest: null,
  }));
}

/** How many sessions can be continued. */
export function conversationCount(): number {
  return memory().size;
}

/** The account with the session that has seen most of a conversation; null if there is none. */
export function accountOfConversation(
  prefixes: readonly Prefix[],
  conversationId: string | null,
  limits: ConversationLimits,
): string | null {
  const { byHash } = memory();
  for (const { hash } of prefixes) {
    const alike = byHash.get(hash);
    const found = alike && choose(alike, conversationId, limits, null);
    if (found) return found.session.accountId;
  }
  return null;
}

/**
 * Takes the session on `accountId` that has seen most of a conversation: one that was answered under
 * `conversationId`, else any.
 * @returns also how many turns it has seen
 */
export function takeConversation(
  prefixes: readonly Prefix[],
  conversationId: string | null,
  accountId: string,
  limits: ConversationLimits,
): { session: UpstreamSession; length: number } | null {
  const state = memory();
  for (const { hash, length } of prefixes) {
    const alike = state.byHash.get(hash);
    const found = alike && choose(alike, conversationId, limits, accountId);
    if (!found) continue;
    remove(state, hash, alike, found);
    return { session: found.session, length };
  }
  return null;
}

/** Remembers a session by what it has seen. Those that were used least recently may have to go. */
export function keepConversation(
  hash: string,
  session: UpstreamSession,
  conversationId: string | null,
  limits: ConversationLimits,
): void {
  if (limits.continuationLimit === 0 || !isUsable(session, limits, Date.now())) {
    leaveSession(session);
    return;
  }
  saveSession(session);
  const state = memory();
  const alike = state.byHash.get(hash) ?? [];
  alike.push({ session, conversationId });
  state.size += 1;
  // To the end of the order.
  state.byHash.delete(hash);
  state.byHash.set(hash, alike);
  if (alike.length > MAX_ALIKE) leaveFirst(state, hash, alike);
  // After the limit was lowered there may be many: those go by the clock.
  if (state.size > limits.continuationLimit) leaveOldest(state);
}

/** Leaves the sessions that are too old, and those beyond the limit; requests run in between. */
export async function tidyConversations(limits: ConversationLimits, nowMs: number): Promise<void> {
  const state = memory();
  let looked = 0;
  const breathe = async () => {
    looked = 0;
    await breath();
  };
  for (const [hash, alike] of state.byHash) {
    looked += 1;
    if (looked >= LOOKED_AT_ONCE) await breathe();
    if (alike.every(({ session }) => isUsable(session, limits, nowMs))) continue;
    for (const each of [...alike]) {
      if (isUsable(each.session, limits, nowMs)) continue;
      remove(state, hash, alike, each);
      leaveSession(each.session);
      looked += LOOKS_TO_LEAVE;
    }
  }
  while (state.size > limits.continuationLimit) {
    leaveOldest(state);
    looked += LOOKS_TO_LEAVE;
    if (looked >= LOOKED_AT_ONCE) await breathe();
  }
}

function choose(
  alike: readonly Remembered[],
  conversationId: string | null,
  limits: ConversationLimits,
  accountId: string | null,
): Remembered | undefined {
  const nowMs = Date.now();
  const fitting = alike.filter(
    ({ session }) =>
      (accountId === null || session.accountId === accountId) && isUsable(session, limits, nowMs),
  );
  return fitting.findLast((each) => each.conversationId === conversationId) ?? fitting.at(-1);
}

function isUsable(
  { createdAtMs, turns }: UpstreamSession,
  { continuationMaxAgeMs, continuationMaxTurns }: ConversationLimits,
  nowMs: number,
): boolean {
  return nowMs - createdAtMs < continuationMaxAgeMs && turns < continuationMaxTurns;
}

/** Those of one hash go together. */
function leaveOldest(state: Memory): void {
  let next = state.oldest?.next();
  if (!next || next.done) {
    state.oldest = state.byHash.entries();
    next = state.oldest.next();
  }
  if (next.done) return;
  const [hash, alike] = next.value;
  while (alike.length > 0) leaveFirst(state, hash, alike);
}

function leaveFirst(state: Memory, hash: string, alike: Remembered[]): void {
  const [first] = alike;
  if (!first) return;
  remove(state, hash, alike, first);
  leaveSession(first.session);
}

function remove(state: Memory, hash: string, alike: Remembered[], each: Remembered): void {
  alike.splice(alike.indexOf(each), 1);
  state.size -= 1;
  if (alike.length === 0) state.byHash.delete(hash);
}
