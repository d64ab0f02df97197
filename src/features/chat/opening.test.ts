import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backgroundLease, type Lease } from '@/features/accounts/lease';
import { threadOf } from '@/features/chat/continuation';
import { openConversation } from '@/features/chat/opening';
import type { Question } from '@/features/chat/question';
import { toPrompt } from '@/features/chat/to-gemini';
import { deleteLeftSessions } from '@/features/chat/upstream-sessions';
import { Settings } from '@/features/settings/schema';
import type { ChatMessage } from '@/openai/chat';
import { type NearUpstream, startNearUpstream } from '../../../e2e/support/near-upstream';

process.env.LOG_LEVEL = 'silent';

const settings = Settings.parse({ sessionStockPerAccount: 0 });
const { signal } = new AbortController();
const REPLY = 'It is so.';

let upstream: NearUpstream;
let lease: Lease;

beforeEach(async () => {
  upstream = await startNearUpstream(1);
  lease = backgroundLease(upstream.account(1), settings, signal);
});

afterEach(() => upstream.close());

const turn = (role: ChatMessage['role'], text: string): ChatMessage => ({
  role,
  text,
  name: null,
  attachments: [],
  toolCalls: [],
  toolCallId: null,
});
const first = [turn('user', `Is it so? [[text value="${REPLY}"]]`)];
const second = [...first, turn('assistant', REPLY), turn('user', 'Is it [[text value="Yes."]]')];

function questionOf(messages: ChatMessage[]): Question {
  const scope = { keyId: 'k', modelId: 'm', upstreamModelId: null, tools: [] };
  return {
    messages,
    attachments: null,
    prompt: () => toPrompt(messages),
    thread: threadOf(scope, messages),
    conversationId: null,
    modelId: null,
    tools: [],
    languageCode: 'en-US',
    stop: [],
    maxTokens: null,
    imageFormat: 'markdown',
    mediaBaseUrl: () => 'http://pool.test',
    mayInline: () => true,
    origin: { apiKeyId: 'k', modelId: 'm' },
    settings,
  };
}

/** Asks, and reads the answer to its end. */
async function ask(messages: ChatMessage[]): Promise<string> {
  const { first, events, close } = await openConversation(lease, questionOf(messages), signal);
  let text = '';
  for (let read = first; !read.done; read = await events.next()) {
    for (const event of read.value) if (event.type === 'text') text += event.text;
  }
  close(text);
  return text;
}

const fail = (scenario: string) =>
  upstream.standIn.setFault('demo-1', { on: 'streamAssist', scenario, times: 1 });
const asked = () => upstream.standIn.counts('demo-1').streamAssist;
const prompts = () =>
  upstream.standIn.sessions.all.map(({ turns }) => turns.map(({ prompt }) => prompt));

describe('a conversation that is continued', () => {
  it('goes on in its session', async () => {
    await ask(first);
    expect(await ask(second)).toBe('Yes.');
    expect(prompts()).toEqual([[first[0]?.text, second[2]?.text]]);
  });

  it.each([
    ['is gone', 'http status=404'],
    ['is another’s', 'http status=403 message="Session is not owned by the provided user"'],
    ['is stale', 'http status=500'],
    ['is stale, as its first word says', 'error-first status=500'],
    ['holds what is refused now', 'http status=400'],
    ['is full', 'http status=400 reason=PROMPT_TOO_LARGE'],
  ])('begins anew with all of it when its session %s', async (_, scenario) => {
    await ask(first);
    fail(scenario);
    expect(await ask(second)).toBe('Yes.');
    expect(asked()).toBe(3);
    expect(prompts()[1]).toEqual([toPrompt(second)]);
  });

  it.each([
    ['blocked by the policy', 'skipped-policy'],
    ['met by a failure of the account', 'http status=503'],
  ])('ends when it is %s', async (_, scenario) => {
    await ask(first);
    fail(scenario);
    await expect(ask(second)).rejects.toThrow();
    expect(asked()).toBe(2);
  });

  it('ends when it fails after the first words', async () => {
    await ask(first);
    fail('error-after status=500 after=1 ms=50');
    await expect(ask(second)).rejects.toMatchObject({ status: 500 });
    expect(asked()).toBe(2);
  });

  it('begins anew once', async () => {
    await ask(first);
    upstream.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500' });
    await expect(ask(second)).rejects.toMatchObject({ status: 500 });
    expect(asked()).toBe(3);
  });
});

describe('a session that was made a moment ago', () => {
  it('is deleted when it is said to be lost', async () => {
    fail('http status=404');
    expect(await ask(first)).toBe(REPLY);
    expect(prompts()).toHaveLength(2);
    await deleteLeftSessions(signal);
    expect(prompts()).toEqual([[first[0]?.text]]);
  });
});
