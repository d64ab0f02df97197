import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Pool, question, startPool } from '../support/pool';

const MODEL = 'gemini-enterprise';

describe('the official openai package', () => {
  let pool: Pool;
  let client: OpenAI;

  beforeAll(async () => {
    // The stand-in is reset between the tests: sessions made ahead would be gone.
    pool = await startPool({ settings: { maxBodyBytes: 1_000_000, sessionStockPerAccount: 0 } });
    client = pool.client;
  });
  afterAll(() => pool.close());
  beforeEach(() => pool.standIn.reset());

  it('chats', async () => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: 'Good morning, 早上好' }],
    });
    expect(completion.choices[0]?.message.content).toContain('You said: Good morning, 早上好');
    expect(completion.choices[0]?.finish_reason).toBe('stop');
    expect(completion).toMatchObject({ object: 'chat.completion', model: MODEL });
    expect(completion.usage?.total_tokens).toBeGreaterThan(10);
    expect(completion._request_id).toMatch(/^req_/);
  });

  it('streams, and its helper puts the same message together', async () => {
    const messages = question('text value="**Bold** first, then 你好 😀, then `code`" size=3');
    const whole = await client.chat.completions.create({ model: MODEL, messages });
    const stream = client.chat.completions.stream({
      model: MODEL,
      messages,
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    expect(final.choices[0]?.finish_reason).toBe('stop');
    expect(final.usage).toEqual(whole.usage);
  });

  it('sends the whole conversation, system message included, to the upstream', async () => {
    await client.chat.completions.create({
      model: MODEL,
      messages: [
        { role: 'system', content: 'You are terse.' },
        { role: 'user', content: 'My name is 王芳.' },
        { role: 'assistant', content: 'Noted.' },
        { role: 'user', content: [{ type: 'text', text: 'What is my name?' }] },
      ],
    });
    const prompt = pool.standIn.sessions.turns.at(-1)?.prompt ?? '';
    const places = ['You are terse.', 'My name is 王芳.', 'Noted.', 'What is my name?'].map(
      (text) => prompt.indexOf(text),
    );
    expect(places.every((place) => place >= 0)).toBe(true);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  it('gives thoughts as reasoning_content, apart from the answer', async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: question('thoughts n=2 value="**Bold** is no thought."'),
      stream: true,
    });
    let reasoning = '';
    let content = '';
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta as { content?: string; reasoning_content?: string };
      reasoning += delta.reasoning_content ?? '';
      content += delta.content ?? '';
      if (delta.reasoning_content) expect(content).toBe('');
    }
    expect(reasoning).toContain('Considering step 2');
    expect(content).toBe('**Bold** is no thought.');
  });

  it('gives as many choices as asked for, on one account at a time', async () => {
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: question('count n=5'),
      n: 3,
    });
    expect(choices.map((choice) => choice.index)).toEqual([0, 1, 2]);
    expect(choices.map((choice) => choice.message.content)).toEqual(Array(3).fill('1 2 3 4 5'));
    const accounts = pool.standIn.sessions.all.slice(-3).map((session) => session.account.name);
    expect(new Set(accounts).size).toBe(1);
  });

  it('stops before a stop sequence, wherever the pieces are cut', async () => {
    for (const stream of [false, true]) {
      const text = await contentOf(client, {
        messages: question('text value="one two three END four" size=2'),
        stop: ['END', 'never'],
        stream,
      });
      expect(text).toEqual({ content: 'one two three ', finish: 'stop' });
    }
  });

  it('cuts at max_tokens, the same streamed or not', async () => {
    const answers = await Promise.all(
      [false, true].map((stream) =>
        contentOf(client, { messages: question('long tokens=200'), max_tokens: 7, stream }),
      ),
    );
    expect(answers[0]).toEqual({ content: ' word'.repeat(7), finish: 'length' });
    expect(answers[1]).toEqual(answers[0]);
  });

  it('lists models, and retrieves each as it is listed', async () => {
    const listed = (await client.models.list()).data;
    expect(listed[0]).toMatchObject({ id: MODEL, object: 'model', owned_by: 'google' });
    expect(listed.map((model) => model.id)).not.toContain('auto');
    for (const model of listed) expect(await client.models.retrieve(model.id)).toEqual(model);
    expect((await client.models.list()).data).toEqual(listed);
  });

  it('takes an alias, and answers with the name that was asked for', async () => {
    const completion = await client.chat.completions.create({
      model: 'auto',
      messages: [{ role: 'user', content: 'Hello' }],
    });
    expect(completion.model).toBe('auto');
  });

  it.each(['', 'sk-wrong', 'prefix', 'extended'])(
    'gets its AuthenticationError for key %j',
    async (kind) => {
      const keys: Record<string, string> = {
        prefix: pool.key.slice(0, -1),
        extended: `${pool.key}x`,
      };
      const wrong = new OpenAI({
        baseURL: `${pool.server.url}/v1`,
        apiKey: keys[kind] ?? (kind || ' '),
        maxRetries: 0,
      });
      const error = await wrong.models.list().catch((reason) => reason);
      expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
      expect(error.status).toBe(401);
      expect(error.requestID).toMatch(/^req_/);
    },
  );

  it('gets its NotFoundError for an unknown model, which is named', async () => {
    const error = await client.chat.completions
      .create({ model: 'gpt-4o', messages: question('echo') })
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect(error.message).toContain('gpt-4o');
  });

  it('gets its BadRequestError for a malformed request, with the parameter', async () => {
    const error = await client.chat.completions
      .create({ model: MODEL, messages: question('echo'), temperature: 3 })
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.param).toBe('temperature');
  });

  it('gets a 413 for a body above the limit', async () => {
    const error = await client.chat.completions
      .create({ model: MODEL, messages: [{ role: 'user', content: 'x'.repeat(1_000_001) }] })
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error.status).toBe(413);
  });

  it('gets a BadRequestError with its code for a prompt that is too long', async () => {
    pool.standIn.promptLimitCharacters = 100;
    const error = await client.chat.completions
      .create({ model: MODEL, messages: [{ role: 'user', content: 'y'.repeat(101) }] })
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ code: 'context_length_exceeded', param: 'messages' });
    expect(pool.standIn.log.filter((entry) => entry.call === 'streamAssist')).toHaveLength(1);
  });

  it('gets a BadRequestError for what the workspace policy blocks', async () => {
    const error = await client.chat.completions
      .create({ model: MODEL, messages: question('skipped-policy') })
      .catch((reason) => reason);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.code).toBe('content_policy_violation');
  });
});

describe('the official openai package on an ill pool', () => {
  it('gets its RateLimitError with Retry-After when all accounts rest', async () => {
    const pool = await startPool();
    try {
      pool.standIn.setFault('*', {
        on: 'streamAssist',
        scenario: 'http status=429 reason=LLM_OVERLOADED',
      });
      const ask = () =>
        pool.client.chat.completions
          .create({ model: MODEL, messages: question('echo') })
          .catch((reason) => reason);
      expect(await ask()).toBeInstanceOf(OpenAI.RateLimitError);
      const asked = pool.standIn.counts('demo-1').streamAssist;
      const error = await ask();
      expect(error).toBeInstanceOf(OpenAI.RateLimitError);
      expect(error.code).toBe('rate_limit_exceeded');
      expect(Number(error.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(Number(error.headers.get('retry-after'))).toBeLessThanOrEqual(10);
      // Two accounts rest; the third, by which the guard knew, may be probed once.
      expect(pool.standIn.counts('demo-1').streamAssist).toBe(asked);
    } finally {
      await pool.close();
    }
  });

  it('gets a 502 when the upstream is broken, and a 504 when it is silent', async () => {
    const pool = await startPool({
      accounts: 1,
      settings: { faultRestMs: 0, firstContentTimeoutMs: 300 },
    });
    try {
      const ask = (directive: string, stream: boolean) =>
        pool.client.chat.completions
          .create({ model: MODEL, messages: question(directive), stream })
          .catch((reason) => reason);
      for (const stream of [false, true]) {
        expect((await ask('http status=500', stream)).status).toBe(502);
        expect((await ask('truncated after=0', stream)).status).toBe(502);
        expect((await ask('silence ms=5000', stream)).status).toBe(504);
      }
    } finally {
      await pool.close();
    }
  });

  it('gets a 503 when there is no account', async () => {
    const pool = await startPool({ accounts: 0 });
    try {
      const error = await pool.client.chat.completions
        .create({ model: MODEL, messages: question('echo') })
        .catch((reason) => reason);
      expect(error).toBeInstanceOf(OpenAI.InternalServerError);
      expect(error).toMatchObject({ status: 503, code: 'no_account_available' });
    } finally {
      await pool.close();
    }
  });
});

async function contentOf(
  client: OpenAI,
  parameters: Omit<OpenAI.ChatCompletionCreateParams, 'model'>,
): Promise<{ content: string; finish: string | null | undefined }> {
  const answer = await client.chat.completions.create({ ...parameters, model: MODEL });
  if (!(Symbol.asyncIterator in answer)) {
    const [choice] = answer.choices;
    return { content: choice?.message.content ?? '', finish: choice?.finish_reason };
  }
  let content = '';
  let finish: string | null | undefined;
  for await (const chunk of answer) {
    content += chunk.choices[0]?.delta.content ?? '';
    finish ??= chunk.choices[0]?.finish_reason;
  }
  return { content, finish };
}
