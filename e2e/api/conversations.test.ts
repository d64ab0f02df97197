import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createKey } from '../support/commands';
import {
  asking,
  assistant,
  inOrder,
  type Message,
  type Said,
  say,
  seenBefore,
  sent,
  system,
  user,
} from '../support/conversations';
import { eventually, type Pool, startPool } from '../support/pool';
import { startServer } from '../support/server';

/** Sessions that callers wait for can be counted then. */
const noStock = { sessionStockPerAccount: 0 };

let pool: Pool;

/** What the session of this answer had seen is exactly what the caller has sent. */
function expectFaithful({ status, session, turn }: Said, messages: Message[]): void {
  expect(status).toBe(200);
  if (!session || !turn) throw new Error('the question did not reach the upstream');
  expect(inOrder(seenBefore(session, turn))).toEqual(inOrder(sent(messages)));
}

function calls(): { created: number; asked: number } {
  const of = (call: string) => pool.standIn.log.filter((entry) => entry.call === call).length;
  return { created: of('createSession'), asked: of('streamAssist') };
}

describe('a conversation', () => {
  beforeAll(async () => {
    pool = await startPool({ accounts: 3, settings: noStock });
  });
  afterAll(() => pool.close());

  /** Two turns, of which the second continues the session of the first. */
  async function begun(words: string): Promise<[Message[], Said]> {
    const first = [system('Be brief.'), asking(words, `About ${words}. `)];
    const one = await say(pool, first);
    return [[...first, assistant(one.text)], one];
  }

  it('goes on in its session, with one call a turn and only what is new', async () => {
    const [history, one] = await begun('kites');
    let messages: Message[] = history;
    const before = calls();
    for (const [index, stream] of [true, false, true].entries()) {
      messages = [...messages, asking(`more ${index}`, `reply ${index}\n`)];
      const next = await say(pool, messages, { stream });
      expect(next.session).toBe(one.session);
      expect(next.turn?.prompt).toBe(messages.at(-1)?.content);
      expectFaithful(next, messages);
      messages = [...messages, assistant(next.text)];
    }
    expect(calls()).toEqual({ created: before.created, asked: before.asked + 3 });
  });

  it('goes on whatever form the same words come back in', async () => {
    const [, one] = await begun('forms');
    const messages: Message[] = [
      system('Be brief.'),
      user([{ type: 'text', text: String(asking('forms', 'About forms. ').content) }]),
      assistant([{ type: 'text', text: 'About forms. ' }]),
      asking('again', 'yes'),
    ];
    const fields = { reasoning_content: 'Hm.', annotations: [], refusal: null };
    const two = await say(
      pool,
      messages.map((each) => (each.role === 'assistant' ? { ...each, ...fields } : each)),
    );
    expect(two.session).toBe(one.session);
    expectFaithful(two, messages);
  });

  it('goes on with several new turns, the caller’s own replies among them', async () => {
    const [history, one] = await begun('several');
    const messages = [...history, user('I ask'), assistant('and I answer'), asking('then', 'ok')];
    const two = await say(pool, messages);
    expect(two.session).toBe(one.session);
    expectFaithful(two, messages);
  });

  it.each<[string, (history: Message[]) => Message[], Record<string, unknown>?]>([
    [
      'an edited question',
      ([first, , ...rest]) => [first, asking('edited', 'x'), ...rest] as Message[],
    ],
    ['an edited reply', (history) => [...history.slice(0, -1), assistant('About dogs. ')]],
    [
      'a reply without its last space',
      (history) => [...history.slice(0, -1), assistant(String(history.at(-1)?.content).trimEnd())],
    ],
    ['another system message', ([, ...rest]) => [system('Be long.'), ...rest]],
    ['no system message', ([, ...rest]) => rest],
    ['another model', (history) => history, { model: 'gemini-2.5-pro' }],
    ['several choices', (history) => history, { n: 2 }],
  ])('with %s begins anew, with all of it', async (name, change, more = {}) => {
    const [history, one] = await begun(`edits ${name}`);
    const messages = [...change(history), asking('next', 'ok')];
    const two = await say(pool, messages, more);
    expect(two.session).not.toBe(one.session);
    expectFaithful(two, messages);
  });

  it('asked again, or branched, begins anew each time', async () => {
    const [history, one] = await begun('branches');
    const [left, right] = [asking('left', 'l'), asking('right', 'r')];
    const first = await say(pool, [...history, left]);
    const branch = await say(pool, [...history, right]);
    const again = await say(pool, history.slice(0, -1));
    expect(first.session).toBe(one.session);
    expect(new Set([one, branch, again].map(({ session }) => session)).size).toBe(3);
    expectFaithful(branch, [...history, right]);
    expectFaithful(again, history.slice(0, -1));
  });

  it.each([
    ['max_tokens', { max_tokens: 3 }],
    ['stop', { stop: 'STOP' }],
  ])('whose reply was cut by %s is not continued', async (_, limit) => {
    const first = [asking('a cut', 'one two three four five STOP six')];
    const one = await say(pool, first, limit);
    const messages = [...first, assistant(one.text), asking('next', 'ok')];
    const two = await say(pool, messages);
    expect(two.session).not.toBe(one.session);
    expectFaithful(two, messages);
  });

  it('whose caller left is not continued', async () => {
    const first = [user('[[lockstep id=left n=2]]')];
    const leaver = new AbortController();
    const body = { model: 'gemini-enterprise', messages: first, stream: true };
    const response = await pool.call('/v1/chat/completions', body, { signal: leaver.signal });
    await eventually(() => 'left' in pool.standIn.lockstep);
    leaver.abort();
    await response.text().catch(() => {});
    await eventually(() => pool.standIn.openStreams === 0);
    const messages = [...first, assistant('piece 1 '), asking('next', 'ok')];
    const two = await say(pool, messages);
    expect(two.session?.turns).toHaveLength(1);
    expectFaithful(two, messages);
  });

  it('under way twice has two sessions', async () => {
    const [history, one] = await begun('twice');
    const messages = [...history, user('[[silence ms=1000]]')];
    const both = [say(pool, messages), say(pool, messages)];
    await eventually(() => pool.standIn.openStreams === 2);
    const answers = await Promise.all(both);
    const sessions = new Set(answers.map(({ session }) => session));
    expect(sessions.size).toBe(2);
    expect(sessions).toContain(one.session);
    for (const answer of answers) expectFaithful(answer, messages);
  });

  it('named by its caller goes on in its own session, and in none that is not its own', async () => {
    const first = [asking('named', 'yes')];
    const named = (id: string) => say(pool, first, { conversation_id: id });
    const [one, two] = [await named('one'), await named('two')];
    const next = [...first, assistant('yes'), asking('next', 'ok')];
    expect((await say(pool, next, { conversation_id: 'one' })).session).toBe(one.session);
    expect((await say(pool, next, { conversation_id: 'two' })).session).toBe(two.session);
    const other = [asking('another', 'no'), assistant('no'), asking('next', 'ok')];
    const alien = await say(pool, other, { conversation_id: 'one' });
    expect(alien.session?.turns).toHaveLength(1);
    expectFaithful(alien, other);
    // A hint is never a reason to refuse.
    expect((await say(pool, first, { conversation_id: 7 })).status).toBe(200);
  });

  it('whose session is gone goes on in a new one, unseen', async () => {
    const [history] = await begun('gone');
    pool.standIn.sessions.clear();
    const before = calls();
    const messages = [...history, asking('next', 'ok')];
    const two = await say(pool, messages);
    expectFaithful(two, messages);
    expect(calls()).toEqual({ created: before.created + 1, asked: before.asked + 2 });
  });

  it('whose session is stale goes on in a new one, unseen', async () => {
    const [history, one] = await begun('stale');
    const { name = '' } = one.session?.account ?? {};
    pool.standIn.setFault(name, { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    const before = calls();
    const messages = [...history, asking('next', 'ok')];
    const two = await say(pool, messages);
    expect(two.session?.account.name).toBe(name);
    expectFaithful(two, messages);
    expect(calls()).toEqual({ created: before.created + 1, asked: before.asked + 2 });
  });

  it('moves to another account in the middle, with all of it', async () => {
    const [history, one] = await begun('failover');
    const name = one.session?.account.name ?? '';
    pool.standIn.setFault(name, { on: 'streamAssist', scenario: 'http status=503', times: 1 });
    const messages = [...history, asking('next', 'moved')];
    const two = await say(pool, messages, { stream: true });
    expect(two.session?.account.name).not.toBe(name);
    expectFaithful(two, messages);
    const more = [...messages, assistant(two.text), asking('and', 'on')];
    const three = await say(pool, more);
    expect(three.session).toBe(two.session);
    expectFaithful(three, more);
  });

  it('is never another key’s, whatever its words are', { timeout: 300_000 }, async () => {
    const keys = [pool.key, await createKey(pool.server.dataDir, 'other')];
    const answers = new Map<string, Said[]>(keys.map((key) => [key, []]));
    const conversation = async (key: string) => {
      let messages: Message[] = [];
      for (let turn = 0; turn < 4; turn++) {
        messages = [...messages, user(`What is ${turn}? [[text value="It is ${turn}."]]`)];
        const answer = await say(pool, messages, { key, stream: Math.random() < 0.5 });
        expect(answer.status).toBe(200);
        answers.get(key)?.push(answer);
        messages = [...messages, assistant(answer.text)];
      }
    };
    let left = 500;
    const client = async () => {
      while (left-- > 0) await conversation(keys[left % 2] ?? '');
    };
    await Promise.all(Array.from({ length: 16 }, client));
    const [mine = [], others = []] = [...answers.values()];
    expect([mine.length, others.length]).toEqual([1_000, 1_000]);
    const turnsOf = (said: Said[]) => new Set(said.map(({ turn }) => turn));
    const [my, their] = [turnsOf(mine), turnsOf(others)];
    for (const { turns } of pool.standIn.sessions.all) {
      const isShared = turns.some((turn) => my.has(turn)) && turns.some((turn) => their.has(turn));
      expect(isShared).toBe(false);
    }
    // And yet most were continued.
    for (const said of [mine, others]) {
      expect(new Set(said.map(({ session }) => session)).size).toBeLessThan(500);
    }
  });

  it('is what its session has seen, after any edits, branches and repetitions', {
    timeout: 300_000,
  }, async () => {
    const other = await createKey(pool.server.dataDir, 'property');
    const words = fc.string({
      unit: fc.constantFrom('a', 'ß', '你', '😀', ' ', '\n', '"'),
      maxLength: 8,
    });
    const step = fc.record({
      what: fc.constantFrom('ask', 'ask', 'ask', 'edit', 'branch', 'again', 'own reply', 'system'),
      /** Which of the conversations, and where in it. */
      which: fc.nat(5),
      where: fc.nat(20),
      words,
      reply: words.map((text) => `.${text}`),
      isOther: fc.boolean(),
      stream: fc.boolean(),
      model: fc.constantFrom('gemini-enterprise', 'gemini-enterprise', 'gemini-2.5-pro'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 16 }), async (steps) => {
        const conversations: Message[][] = [[]];
        for (const { what, which, where, words, reply, isOther, stream, model } of steps) {
          const known = conversations[which % conversations.length] ?? [];
          const base = changed(known, what, where, words);
          const messages = [...base, asking(words, reply)];
          const key = isOther ? other : pool.key;
          const answer = await say(pool, messages, { key, stream, model });
          expect(answer.text).toBe(reply);
          expectFaithful(answer, messages);
          conversations.push([...messages, assistant(answer.text)]);
        }
      }),
      { numRuns: 40 },
    );
  });
});

/** The conversation as its caller has changed it before the next question. */
function changed(known: Message[], what: string, where: number, words: string): Message[] {
  const at = known.length === 0 ? 0 : where % known.length;
  switch (what) {
    case 'edit':
      return known.map((each, index) => (index === at ? { ...each, content: `${words}!` } : each));
    case 'branch':
      return known.slice(0, at);
    case 'again':
      return known.slice(0, -2);
    case 'own reply':
      return [...known, user(words), assistant(`${words}?`)];
    case 'system':
      return [system(words), ...known];
    default:
      return known;
  }
}

describe('sessions that are not needed any more', () => {
  afterEach(() => pool.close());
  const settings = { ...noStock, continuationMaxTurns: 2 };
  const names = () => pool.standIn.sessions.all.map(({ id }) => id);

  it('are deleted upstream: those that are worn out, cut, or of several choices', async () => {
    pool = await startPool({ accounts: 2, settings });
    let messages = [asking('worn out', '1')];
    for (let turn = 1; turn <= 2; turn++) {
      messages = [...messages, assistant('1'), asking('next', '1')];
      await say(pool, messages);
    }
    await say(pool, [asking('cut', 'one two three')], { max_tokens: 1 });
    await say(pool, [asking('twice', 'x')], { n: 2 });
    const kept = await say(pool, [asking('kept', 'x')]);
    await eventually(() => names().length === 1, 10_000);
    expect(names()).toEqual([kept.session?.id]);
  });

  it('are deleted after a restart, also after kill -9', async () => {
    pool = await startPool({ accounts: 2, settings: noStock });
    for (const words of ['one', 'two', 'three']) await say(pool, [asking(words, 'x')]);
    // The rows follow within a second.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(names()).toHaveLength(3);
    await pool.server.kill();
    pool.server = await startServer({ dataDir: pool.server.dataDir, standInUrl: pool.standIn.url });
    await eventually(() => names().length === 0, 10_000);
  });

  it('blame nobody when they can’t be deleted', async () => {
    pool = await startPool({ accounts: 1, settings });
    const one = await say(pool, [asking('cut', 'one two three')], { max_tokens: 1 });
    pool.standIn.sessions.clear();
    await eventually(() => pool.standIn.counts('demo-1').deleteSession === 1, 10_000);
    expect(one.status).toBe(200);
    expect((await say(pool, [asking('next', 'x')])).status).toBe(200);
  });
});

describe('a conversation that is longer than the upstream takes', () => {
  afterEach(() => pool.close());
  const long = Array.from({ length: 8 }, (_, index) => [
    user(`question ${index} ${'x'.repeat(100)}`),
    assistant(`reply ${index}`),
  ]).flat();
  const messages = [system('Be brief.'), ...long, asking('the last', 'ok')];

  it('is refused', async () => {
    pool = await startPool({ accounts: 1, settings: noStock });
    pool.standIn.promptLimitCharacters = 500;
    const response = await pool.call('/v1/chat/completions', {
      model: 'gemini-enterprise',
      messages,
    });
    expect(response.status).toBe(400);
    expect((await response.json()).error.code).toBe('context_length_exceeded');
  });

  it('goes without its oldest turns if the operator wants that', async () => {
    pool = await startPool({
      accounts: 1,
      settings: { ...noStock, promptTooLong: 'drop_oldest' },
    });
    pool.standIn.promptLimitCharacters = 500;
    const { status, text, turn, session } = await say(pool, messages);
    expect([status, text]).toEqual([200, 'ok']);
    expect(turn?.prompt).toMatch(
      /^<system>\nBe brief\.\n<\/system>\n\n<system>\nEarlier turns .* left out/,
    );
    expect(turn?.prompt).toContain('reply 7');
    expect(turn?.prompt).not.toContain('question 0');
    // Its session has not seen all, and so is not continued.
    const next = await say(pool, [...messages, assistant(text), asking('next', 'ok')]);
    expect(next.session).not.toBe(session);
    // What must stay is too much.
    pool.standIn.promptLimitCharacters = 10;
    expect((await say(pool, messages)).status).toBe(400);
  });
});
