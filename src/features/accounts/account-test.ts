import type { Account } from '@/features/accounts/account-table';
import { replaceHealth } from '@/features/accounts/accounts';
import { healthOf } from '@/features/accounts/health';
import { backgroundLease, type Lease } from '@/features/accounts/lease';
import { afterFailure, afterTest } from '@/features/accounts/state';
import { settings } from '@/features/settings/settings';
import { createSession, openAnswer } from '@/gemini/client';
import { GeminiError, isGeminiError } from '@/gemini/errors';
import { Cancellation } from '@/platform/cancellation';

/** How far a test goes: a signing key and its token, a session too, or a question of one word too. */
export type TestDepth = 'key' | 'session' | 'chat';

/** What came of it. */
export interface AccountTest {
  durationMs: number;
  /** What the model said to the question; null if none was asked, or nothing came. */
  answer: string | null;
  failure: GeminiError | null;
}

const QUESTION = 'Answer with the single word: OK';
const MAX_ANSWER_CHARACTERS = 200;

/**
 * Tries the account with its cookies, and notes what came of it in its health.
 */
export async function testAccount(account: Account, depth: TestDepth): Promise<AccountTest> {
  const startedAtMs = Date.now();
  const limits = await settings();
  let answer: string | null = null;
  let failure: GeminiError | null = null;
  try {
    const lease = backgroundLease(account, limits, new Cancellation());
    answer = await tryOut(lease, depth, limits.timeZone);
  } catch (error) {
    if (!isGeminiError(error)) throw error;
    failure = error;
  }
  const nowMs = Date.now();
  const known = healthOf(account.id);
  const use = { kind: 'text', turn: 1, endTurn: 1 } as const;
  const health = failure
    ? afterFailure(known, failure, use, limits, nowMs, 0)
    : afterTest(known, depth === 'chat');
  if (health !== known) await replaceHealth(account.id, health);
  return { durationMs: nowMs - startedAtMs, answer, failure };
}

async function tryOut(lease: Lease, depth: TestDepth, timeZone: string): Promise<string | null> {
  const { connection, signal } = lease;
  if (depth === 'key') {
    await lease.call(async () => {});
    return null;
  }
  const sessionName = await lease.call((identity) => createSession(connection, identity, signal), {
    configFault: true,
  });
  if (depth === 'session') return null;
  const turn = {
    sessionName,
    prompt: QUESTION,
    fileIds: [],
    modelId: null,
    tools: [],
    languageCode: 'en-US',
    timeZone,
  };
  let text = '';
  let isServed = false;
  const events = await lease.call((identity) => openAnswer(connection, identity, turn, signal));
  for await (const batch of events) {
    if (!isServed) lease.served('text');
    isServed = true;
    for (const event of batch) if (event.type === 'text') text += event.text;
    if (text.length > MAX_ANSWER_CHARACTERS) break;
  }
  if (text === '') throw new GeminiError('upstream', 'The answer has no text.');
  return text.slice(0, MAX_ANSWER_CHARACTERS).trim();
}
