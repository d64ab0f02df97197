import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask, expectBrokenOff, expectRefused, expectWhole, type Seen } from '../support/caller';
import {
  askInVain,
  chatsOf,
  crashSettings,
  expectNobodyIll,
  expectOthersAnswer,
  expectRests,
  heal,
  names,
  pieces,
  SURE_REST_MS,
  untilAsked,
  ways,
} from '../support/crash';
import { eventually, type Pool, question, startPool } from '../support/pool';
import { requestRow } from '../support/rows';

/**
 * The sixteen faults of the one public crash test of gateways, as callers and upstream see them. Each
 * ends in a full answer or in a clear error, never in a part of an answer that looks whole.
 */

let pool: Pool;
let late: Promise<Seen>;
beforeAll(async () => {
  late = askForLateWord();
  late.catch(() => {});
  pool = await startPool({ settings: crashSettings });
});
afterAll(() => pool.close());
beforeEach(() => heal(pool));

/** In real time and with the settings as they are; it runs beside all other tests. */
async function askForLateWord(): Promise<Seen> {
  const usual = await startPool();
  try {
    return await ask(usual, 'silence ms=20000', { stream: true });
  } finally {
    await usual.close();
  }
}

describe.each(ways)('before the first word (%s)', (_, stream) => {
  it('1: after a 429 with Retry-After the account rests so long', async () => {
    await expectOthersAnswer(pool, 'http status=429 retry-after=2', stream, 1_950);
    await eventually(async () => {
      expectWhole(await ask(pool, 'text value=whole', { stream }), 'whole');
      return chatsOf(pool, 'demo-1').length > 1;
    }, 20_000);
    expectRests(pool, 'demo-1', 1_950);
  });

  it('2: a persistent 429 without it is left alone, whoever asks', async () => {
    await expectOthersAnswer(pool, 'http status=429', stream);
    const seen = await askInVain(pool, 'http status=429', stream);
    expectRefused(seen, 429, 'rate_limit_exceeded');
    expect(seen.retryAfterSeconds).toBeGreaterThanOrEqual(1);
    await Promise.all(names.map(() => ask(pool, 'echo', { stream })));
    for (const name of names) expectRests(pool, name, SURE_REST_MS);
  });

  it('3: one 500 costs one more try', async () => {
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'http status=500', times: 1 });
    const call = () => ask(pool, 'text value=whole', { stream });
    const seen = await untilAsked(pool, 'demo-1', call);
    for (const each of seen) expectWhole(each, 'whole');
    expect(chatsOf(pool)).toHaveLength(seen.length + 1);
  });

  it.each([
    ['4: a persistent 503', 'http status=503'],
    ['5: a reset before the headers', 'reset-before'],
  ])('%s', async (__, scenario) => {
    await expectOthersAnswer(pool, scenario, stream);
    expectRefused(await askInVain(pool, scenario, stream), [502, 503], 'upstream_error');
  });

  it('6: no answer at all', async () => {
    await expectOthersAnswer(pool, 'hang', stream);
    const seen = await askInVain(pool, 'hang', stream);
    if (stream) expect(seen.comments).toBeGreaterThan(0);
    expectRefused(seen, 504, 'upstream_timeout');
  });

  it('7: a first word that is late costs no try', async () => {
    const seen = await ask(pool, 'silence ms=500', { stream });
    expectWhole(seen, 'Here I am again.');
    if (stream) expect(seen.comments).toBeGreaterThan(0);
    expect(chatsOf(pool)).toHaveLength(1);
  });

  it("12: a prompt that is too long is the caller's affair", async () => {
    pool.standIn.promptLimitCharacters = 100;
    const messages = [{ role: 'user' as const, content: 'word '.repeat(100) }];
    expectRefused(await ask(pool, messages, { stream }), 400, 'context_length_exceeded');
    expect(chatsOf(pool)).toHaveLength(1);
    await expectNobodyIll(pool);
  });

  it('13: what the content filter blocks is told at once', async () => {
    expectRefused(await ask(pool, 'blocked', { stream }), 400, 'content_policy_violation');
    const seen = await ask(pool, 'blocked after=3', { stream });
    if (stream) expectBrokenOff(seen, 'content_policy_violation');
    else expectRefused(seen, 400, 'content_policy_violation');
    expect(seen.text).toBe(stream ? pieces(3) : '');
    expect(chatsOf(pool)).toHaveLength(2);
    await expectNobodyIll(pool);
  });

  it('16: what is counted after a failover is the answer that was served', async () => {
    const call = () => ask(pool, 'text value="three short words"', { stream });
    const plain = await call();
    pool.standIn.reset();
    const scenario = stream ? 'thoughts-only n=9' : 'truncated after=40';
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario, times: 1 });
    const served = await untilAsked(pool, 'demo-1', call);
    const rows = await Promise.all(served.map((seen) => requestRow(pool, seen.requestId)));
    const counted = await requestRow(pool, plain.requestId);
    const { promptTokens, completionTokens } = counted;
    for (const row of rows) {
      expect(row).toMatchObject({
        status: 200,
        promptTokens,
        completionTokens,
        reasoningTokens: 0,
      });
    }
    if (!stream) expect(plain.completionTokens).toBe(completionTokens);
    const [moved, ...others] = rows.filter((row) => row.tries !== 1);
    expect(others).toEqual([]);
    expect(moved).toMatchObject({ tries: 2, code: null, fault: stream ? 'upstream' : 'truncated' });
    expect(moved?.label).not.toBe('account-1');
  });
});

describe.each([
  ['8: cut at 40 of 60 pieces', 'truncated after=40', 'upstream_error'],
  ['8: cut by a reset', 'reset-after n=40', 'upstream_error'],
  ['9: a stall', 'stall after=5', 'upstream_timeout'],
  ['10: a malformed chunk', 'malformed after=5', 'upstream_error'],
  ['11: a missing end', 'no-end after=5', 'upstream_error'],
])('after the first word: %s', (_, scenario, code) => {
  it('ends a stream in one error event', async () => {
    const seen = await ask(pool, scenario, { stream: true });
    expectBrokenOff(seen, code);
    const sent = pieces(Number(/\d+/.exec(scenario)?.[0]));
    // What a reset overtakes is lost.
    if (scenario.startsWith('reset')) expect(sent.startsWith(seen.text)).toBe(true);
    else expect(seen.text).toBe(sent);
    expect(chatsOf(pool)).toHaveLength(1);
    await eventually(() => pool.standIn.openStreams === 0);
  });

  it('leaves the account for another while nothing was sent', async () => {
    await expectOthersAnswer(pool, scenario, false);
    const statuses = { upstream_error: [502], upstream_timeout: [504] }[code] ?? [];
    expectRefused(await askInVain(pool, scenario, false), statuses, code);
  });
});

describe('14: a cut in a conversation that ends in an assistant turn', () => {
  const prefilled = (order: string) => [
    ...question(order),
    { role: 'assistant' as const, content: 'Once upon a time' },
  ];

  it('ends a stream in one error event, and nobody goes on with it', async () => {
    const seen = await ask(pool, prefilled('truncated after=5'), { stream: true });
    expectBrokenOff(seen, 'upstream_error');
    expect(seen.text).toBe(pieces(5));
    expect(chatsOf(pool)).toHaveLength(1);
  });

  it('is asked anew, as it was, while nothing was sent', async () => {
    const scenario = 'truncated after=5';
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario, times: 1 });
    const call = () => ask(pool, prefilled('text value=" there was."'), { stream: false });
    const seen = await untilAsked(pool, 'demo-1', call);
    for (const each of seen) expectWhole(each, ' there was.');
    const { turns } = pool.standIn.sessions;
    expect(turns).toHaveLength(seen.length + 1);
    expect(new Set(turns.map((turn) => turn.prompt)).size).toBe(1);
    expectRefused(await ask(pool, prefilled(scenario), { stream: false }), 502, 'upstream_error');
  });
});

describe('15: the upstream is down for a while', () => {
  it('is not hammered meanwhile, and serves again when it is back', async () => {
    const downMs = 3_000;
    const scenario = 'reset-before';
    pool.standIn.setFault('*', {
      on: ['key', 'createSession', 'streamAssist'],
      scenario,
      forMs: downMs,
    });
    const downAt = Date.now();
    const asking = Array.from({ length: 20 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, index * 200));
      return ask(pool, 'text value=back', { stream: index % 2 === 0 });
    });
    let refused = 0;
    for (const seen of await Promise.all(asking)) {
      if (seen.status === 200 && seen.errors.length === 0) {
        expectWhole(seen, 'back');
        continue;
      }
      refused += 1;
      expect(seen).toMatchObject({ text: '', isDone: false, endsInError: true, isBroken: false });
      expect([200, 429, 502, 503, 504]).toContain(seen.status);
    }
    expect(refused).toBeGreaterThan(5);
    // Sessions of earlier tests are deleted now and then, which works all the time.
    const meanwhile = pool.standIn.log.filter(
      ({ call, at }) => call !== 'deleteSession' && at < downAt + downMs,
    );
    // Three accounts find out, then single ones try again; each call on its own would make 60.
    expect(meanwhile.length).toBeLessThanOrEqual(12);
    await eventually(
      async () => (await ask(pool, 'echo', { stream: false })).status === 200,
      20_000,
    );
    for (let count = 0; count < 5; count++) {
      expectWhole(await ask(pool, 'text value=back', { stream: true }), 'back');
    }
  });
});

describe('the official SDK', () => {
  const request = (order: string) => ({ model: 'gemini-enterprise', messages: question(order) });

  it.each(['truncated after=40', 'stall after=5'])(
    'raises after the first word: %s',
    async (order) => {
      const chunks = await pool.client.chat.completions.create({ ...request(order), stream: true });
      const read = async () => {
        for await (const { choices } of chunks) expect(choices[0]?.finish_reason).toBeNull();
      };
      await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
    },
  );

  it.each([
    ['blocked', OpenAI.BadRequestError],
    ['http status=429', OpenAI.RateLimitError],
    ['http status=500', OpenAI.InternalServerError],
  ])('raises before it: %s', async (order, kind) => {
    const asking = pool.client.chat.completions.create(request(order));
    await expect(asking).rejects.toBeInstanceOf(kind);
  });
});

it('7: a first word after 20 s of real time is waited for', async () => {
  const seen = await late;
  expectWhole(seen, 'Here I am again.');
  expect(seen.comments).toBeGreaterThan(0);
});
