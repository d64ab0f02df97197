import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Pool, question, startPool } from '../support/pool';

let pool: Pool;
beforeAll(async () => {
  pool = await startPool({ accounts: 1 });
});
afterAll(() => pool.close());

const ask = (directive: string, more: object = {}) => ({
  model: 'gemini-enterprise',
  messages: question(directive),
  ...more,
});

type Annotation = OpenAI.ChatCompletionMessage.Annotation;

/** What the annotations point at, as a program that counts characters cuts it out. */
function cited(content: string | null, annotations: Annotation[] = []) {
  return annotations.map(({ url_citation: { start_index, end_index, url, title } }) => ({
    part: Array.from(content ?? '')
      .slice(start_index, end_index)
      .join(''),
    url,
    title,
  }));
}

const sentence = (number: number) => ({
  part: `Satz ${number} über 北京 und Zürich 🏔.`,
  url: `https://example.com/pages/${number}?q=z%C3%BCrich`,
  title: `Page ${number}`,
});

describe('the sources of an answer', () => {
  it.each(['grounded', 'grounded bare=1', 'grounded places=reply', 'grounded places=reply bare=1'])(
    'are annotations of the parts that rest on them (%s)',
    async (directive) => {
      const { choices } = await pool.client.chat.completions.create(ask(directive));
      const message = choices[0]?.message;
      expect(cited(message?.content ?? '', message?.annotations)).toEqual([
        sentence(1),
        sentence(2),
      ]);
    },
  );

  it('are of the whole answer where the upstream names no parts', async () => {
    const { choices } = await pool.client.chat.completions.create(ask('grounded places=none'));
    const { content, annotations } = choices[0]?.message ?? {};
    expect(cited(content ?? '', annotations).map(({ part }) => part)).toEqual([content, content]);
  });

  it('come in a stream as one chunk, right before the end', async () => {
    const stream = pool.client.chat.completions.stream(ask('grounded n=5'));
    const deltas: Record<string, unknown>[] = [];
    for await (const { choices } of stream) {
      for (const { delta } of choices) deltas.push({ ...delta });
    }
    expect(deltas.map((delta) => 'annotations' in delta).slice(-2)).toEqual([true, false]);
    expect(deltas.filter((delta) => 'annotations' in delta).length).toBe(1);
    const { content, annotations } = (await stream.finalChatCompletion()).choices[0]?.message ?? {};
    expect(cited(content ?? '', annotations)).toEqual([1, 2, 3, 4, 5].map(sentence));
  });

  it('belong to their choice', async () => {
    const { choices } = await pool.client.chat.completions.create(ask('grounded', { n: 2 }));
    for (const { message } of choices) {
      expect(cited(message.content, message.annotations)).toEqual([sentence(1), sentence(2)]);
    }
  });

  it('are not named for a part that was cut off', async () => {
    const request = ask('grounded places=reply', { stop: 'Satz 2 über 北' });
    const { choices } = await pool.client.chat.completions.create(request);
    const { content, annotations } = choices[0]?.message ?? {};
    expect(cited(content ?? '', annotations)).toEqual([sentence(1)]);
  });

  it('are bounded, and the event with them stays small', async () => {
    const answer = await pool.call('/v1/chat/completions', ask('grounded n=300', { stream: true }));
    const events = (await answer.text()).split('\n\n');
    const withSources = events.filter((event) => event.includes('"annotations"'));
    expect(withSources.length).toBe(1);
    expect(JSON.parse((withSources[0] ?? '').slice(6)).choices[0].delta.annotations.length).toBe(
      99,
    );
    expect(Buffer.byteLength(withSources[0] ?? '')).toBeLessThan(64_000);
  });

  it('are not there for an answer without any', async () => {
    const { choices } = await pool.client.chat.completions.create(ask('text value=ok'));
    expect(choices[0]?.message).not.toHaveProperty('annotations');
  });
});
