import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually, type Pool, question, startPool } from '../support/pool';
import type { Way } from '../support/server';

const CHAT = '/v1/chat/completions';
const ask = (directive: string, more: object = {}) => ({
  model: 'gemini-enterprise',
  messages: question(directive),
  stream: true,
  ...more,
});

/** The JSON of each event, and the last line. */
function eventsOf(text: string) {
  const lines = text.split('\n\n').filter(Boolean);
  const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
  return {
    comments: lines.filter((line) => line.startsWith(':')).length,
    done: data.at(-1) === '[DONE]',
    events: data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line)),
  };
}

describe.each(['custom', 'next'] as Way[])('a stream through the %s server', (way) => {
  let pool: Pool;
  beforeAll(async () => {
    pool = await startPool({
      way,
      settings: {
        // Tries on three accounts, one after the other, on a busy machine come sooner.
        earlyHeadersAfterMs: 1_500,
        commentEveryMs: 200,
        thoughtsHoldMs: 300,
        faultRestMs: 0,
        // The stand-in is reset between the tests: sessions made ahead would be gone.
        sessionStockPerAccount: 0,
      },
    });
  });
  afterAll(() => pool.close());
  beforeEach(async () => {
    await eventually(() => pool.standIn.openStreams === 0);
    pool.standIn.reset();
  });

  const stream = async (directive: string, more: object = {}) => {
    const response = await pool.call(CHAT, ask(directive, more));
    return { response, ...eventsOf(await response.text()) };
  };

  it('has the events of the contract, in order', async () => {
    const { events, done } = await stream('thoughts n=1 value=yes', {
      stream_options: { include_usage: true },
    });
    const deltas = events.map((event) => event.choices[0]?.delta);
    expect(deltas[0]).toEqual({ role: 'assistant', content: '' });
    expect(deltas[1]).toEqual({ reasoning_content: expect.stringContaining('Considering') });
    expect(deltas[2]).toEqual({ content: 'yes' });
    expect(deltas[3]).toEqual({});
    expect(events.map((event) => event.choices[0]?.finish_reason)).toEqual([
      null,
      null,
      null,
      'stop',
      undefined,
    ]);
    expect(events.map((event) => event.usage === null)).toEqual([true, true, true, true, false]);
    expect(events[4].choices).toEqual([]);
    expect(events[4].usage.completion_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    expect(new Set(events.map((event) => `${event.id} ${event.created}`)).size).toBe(1);
    expect(done).toBe(true);
  });

  it('never has a chunk without choices where usage was not asked for', async () => {
    const { events } = await stream('count n=3');
    expect(events.every((event) => event.choices.length === 1 && !('usage' in event))).toBe(true);
  });

  it('keeps both halves of a character together', async () => {
    const { events } = await stream('split-surrogate');
    const content = events.map((event) => event.choices[0].delta.content ?? '');
    expect(content.join('')).toBe('An emoji in two halves: 😀, whole again.');
    for (const piece of content) expect(piece.isWellFormed()).toBe(true);
  });

  it('stays below 64 kB an event', async () => {
    const { events } = await stream('big bytes=300000');
    const content = events.map((event) => event.choices[0].delta.content ?? '').join('');
    expect(content).toHaveLength(300_000);
    for (const event of events) expect(JSON.stringify(event).length).toBeLessThan(64_000);
  });

  it('is an ordinary error while nothing was sent', async () => {
    const response = await pool.call(CHAT, ask('error-first status=500'));
    expect(response.status).toBe(502);
    expect((await response.json()).error).toMatchObject({
      type: 'server_error',
      code: 'upstream_error',
    });
  });

  it('sends headers early in a long silence, then comments, then the answer', async () => {
    const { response, comments, events, done } = await stream('silence ms=2500');
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(comments).toBeGreaterThanOrEqual(2);
    expect(events.at(1)?.choices[0].delta.content).toBe('Here I am again.');
    expect(done).toBe(true);
  });

  it.each([
    'error-after n=2 status=500',
    'truncated after=2',
    'malformed after=2',
    'reset-after n=2',
    'failed n=2',
  ])(
    'that breaks off (%s) ends in an error event, without finish_reason or [DONE]',
    async (directive) => {
      const { events, done } = await stream(directive);
      const last = events.at(-1);
      expect(last.error).toMatchObject({ type: 'server_error', code: 'upstream_error' });
      expect(last.error.message).not.toBe('');
      expect(done).toBe(false);
      for (const event of events.slice(0, -1)) expect(event.choices[0].finish_reason).toBeNull();
      expect(pool.standIn.log.filter((entry) => entry.call === 'streamAssist')).toHaveLength(1);
    },
  );

  it('that breaks off raises in the official SDK', async () => {
    const chunks = await pool.client.chat.completions.create({
      model: 'gemini-enterprise',
      messages: question('truncated after=2'),
      stream: true,
    });
    const read = async () => {
      for await (const _ of chunks);
    };
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
  });

  it('holds thoughts for a moment, so that an account that only thinks is left', async () => {
    pool.standIn.setFault('demo-1', { on: 'streamAssist', scenario: 'thoughts-only' });
    // One of three in a row has its turn on that account.
    for (let count = 0; count < 3; count++) {
      const { events, done } = await stream('text value=answered');
      const deltas = events.map((event) => event.choices[0].delta);
      expect(deltas.map((delta) => delta.content ?? '').join('')).toBe('answered');
      expect(deltas.some((delta) => 'reasoning_content' in delta)).toBe(false);
      expect(done).toBe(true);
    }
    expect(pool.standIn.counts('demo-1').streamAssist).toBe(1);
  });

  it('sends thoughts that go on and on before there is an answer', async () => {
    const response = await pool.call(CHAT, ask('thoughts n=6 ms=150 value=late'));
    const reader = response.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    expect(first).toContain('reasoning_content');
    expect(first).not.toContain('late');
    await reader?.cancel();
  });

  it('stops the upstream within a second when the client leaves', async () => {
    for (const directive of [
      'count n=1000 ms=50',
      'silence ms=60000',
      'silence ms=60000 late-head=1',
    ]) {
      const controller = new AbortController();
      const running = pool.call(CHAT, ask(directive), { signal: controller.signal });
      running.then((response) => response.text()).catch(() => {});
      await eventually(() => pool.standIn.openStreams === 1);
      controller.abort();
      await eventually(() => pool.standIn.openStreams === 0, 1_000);
      // A session may be deleted meanwhile, which is logged too.
      const question = pool.standIn.log.findLast(({ call }) => call === 'streamAssist');
      expect(question?.aborted).toBe(true);
    }
  });

  it('stops the upstream when a client that does not stream leaves', async () => {
    const controller = new AbortController();
    const body = { ...ask('count n=1000 ms=50'), stream: false };
    pool.call(CHAT, body, { signal: controller.signal }).catch(() => {});
    await eventually(() => pool.standIn.openStreams === 1);
    controller.abort();
    await eventually(() => pool.standIn.openStreams === 0, 1_000);
  });

  it('stops the upstream when a stop sequence or max_tokens ends the reply', async () => {
    for (const limit of [{ stop: ['5'] }, { max_tokens: 5 }]) {
      const { done } = await stream('count n=1000 ms=20', limit);
      expect(done).toBe(true);
      await eventually(() => pool.standIn.openStreams === 0, 1_000);
    }
  });

  it('tells choices apart by index, each with its own role and finish', async () => {
    const { events } = await stream('count n=3', { n: 2 });
    for (const index of [0, 1]) {
      const mine = events
        .map((event) => event.choices[0])
        .filter((choice) => choice.index === index);
      expect(mine[0].delta.role).toBe('assistant');
      expect(mine.map((choice) => choice.delta.content ?? '').join('')).toBe('1 2 3');
      expect(mine.filter((choice) => choice.finish_reason === 'stop')).toHaveLength(1);
    }
  });
});
