import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demoAccount } from './accounts';
import { lastWords } from './answers';
import { findDirective, parseDirective } from './directive';
import { cutAdversarially, cutEvenly, textElement } from './framing';
import { type StandIn, startStandIn } from './stand-in';
import { filesOf, stateOf, TestClient, textOf } from './test-client';

let standIn: StandIn;
let client: TestClient;

beforeAll(async () => {
  standIn = await startStandIn();
  client = new TestClient(standIn, demoAccount(1));
});
beforeEach(() => standIn.reset());
afterAll(() => standIn.close());

/** The body as it came, and whether it came to its end. */
async function receive(
  response: Response,
): Promise<{ text: string; chunks: Buffer[]; cut: boolean }> {
  const chunks: Buffer[] = [];
  let cut = false;
  try {
    for await (const chunk of response.body ?? []) chunks.push(Buffer.from(chunk));
  } catch {
    cut = true;
  }
  return { text: Buffer.concat(chunks).toString(), chunks, cut };
}

describe('directive', () => {
  const known = (name: string) => ['text', 'count', 'empty'].includes(name);

  test('is the last known one', () => {
    const prompt = '[[empty]] then [[count n=3 ms=5]] and [[a link]] [[unknown x=1]]';
    const directive = findDirective(prompt, known);
    expect(directive?.name).toBe('count');
    expect(directive?.number('n', 0)).toBe(3);
  });

  test('takes JSON strings as values', () => {
    const directive = findDirective('[[text value="a \\"b\\" ]] \\n[[c]]"]]', known);
    expect(directive?.text('value')).toBe('a "b" ]] \n[[c]]');
  });

  test('is found in time in a hostile prompt', () => {
    const start = performance.now();
    expect(findDirective('[['.repeat(500_000), known)).toBeNull();
    expect(findDirective(`[[text value="${'\\"'.repeat(500_000)}`, known)).toBeNull();
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test('of a fault stands without brackets', () => {
    expect(parseDirective('http status=429').number('status', 0)).toBe(429);
    expect(() => parseDirective('')).toThrow('not a scenario');
  });
});

test('the question is the last line with words', () => {
  expect(lastWords('User: a\n\nUser: how?\n\nAssistant:\n')).toBe('how?');
  expect(lastWords('<user>\nhow?\n</user>')).toBe('how?');
});

describe('framing', () => {
  const envelope = { uToken: 'x.y.z', assistToken: 't' };

  test.each(['Grüße <b>你好</b> 😀', 'a\nb', '\ud83d', '', 'plain'])(
    'of %j is JSON, however cut',
    (text) => {
      const bytes = Buffer.from(textElement(text, true, envelope));
      for (const pieces of [cutAdversarially(bytes), cutEvenly(bytes, 7)]) {
        expect(Buffer.concat(pieces)).toEqual(bytes);
        const element = JSON.parse(Buffer.concat(pieces).toString());
        expect(textOf([element], true)).toBe(text);
      }
    },
  );

  test('cuts inside an escape and inside a character', () => {
    const bytes = Buffer.from('"ab\\u003c 你好"');
    const ends = cutAdversarially(bytes).map((piece) => piece.toString('latin1'));
    expect(ends.some((piece) => piece.endsWith('\\'))).toBe(true);
    expect(ends.some((piece) => piece.startsWith('u00'))).toBe(true);
    expect(ends.some((piece) => piece.endsWith('\u00e5'))).toBe(true);
  });

  test('reaches the client cut and pretty-printed', async () => {
    const { text, chunks } = await receive(
      await client.ask('[[text value="你好 <1>\\n😀" size=100]]'),
    );
    expect(chunks.length).toBeGreaterThan(3);
    expect(text).toMatch(/^\[\{\n {2}"uToken"/);
    expect(text).toMatch(/\n\}\n,\n\{\n/);
    expect(text.endsWith('\n}\n]')).toBe(true);
    expect(textOf(JSON.parse(text))).toBe('你好 <1>\n😀');
  });
});

describe('answers', () => {
  test('text, also as base64', async () => {
    const base64 = Buffer.from('any ]] text').toString('base64');
    expect(textOf(await client.elements(`[[text base64=${base64}]]`))).toBe('any ]] text');
  });

  test('count', async () => {
    expect(textOf(await client.elements('[[count n=3 ms=1]]'))).toBe('1 2 3');
  });

  test('thoughts come first', async () => {
    const elements = await client.elements('[[thoughts value="The answer."]]');
    expect(textOf(elements, true)).toMatch(/^\*\*Considering/);
    expect(textOf(elements)).toBe('The answer.');
    expect(elements[0]).toMatchObject({ uToken: expect.any(String) });
  });

  test('thoughts-only and empty have no text but succeed', async () => {
    const thoughts = await client.elements('[[thoughts-only]]');
    expect([textOf(thoughts), stateOf(thoughts)]).toEqual(['', 'SUCCEEDED']);
    expect(textOf(thoughts, true)).not.toBe('');
    const empty = await client.elements('[[empty]]');
    expect(empty).toHaveLength(1);
    expect(stateOf(empty)).toBe('SUCCEEDED');
  });

  test('big, long and bench are whole', async () => {
    expect(textOf(await client.elements('[[big bytes=3000001]]'))).toHaveLength(3_000_001);
    const long = textOf(await client.elements('[[long tokens=1010]]'));
    expect(long.match(/word/g)).toHaveLength(1010);
    const bench = await client.elements('[[bench pieces=20]]');
    expect(bench).toHaveLength(21);
    expect(stateOf(bench)).toBe('SUCCEEDED');
  });

  test.each([
    ['image', 'image/png', 'Image generated by Nano Banana Pro.'],
    ['video', 'video/mp4', 'Here is your video.'],
  ])('%s names its files, the first one twice', async (name, mimeType, text) => {
    const elements = await client.elements(`[[${name} n=2]]`);
    const files = filesOf(elements);
    expect(files.map((file) => file.mimeType)).toEqual(Array(3).fill(mimeType));
    expect(new Set(files.map((file) => file.fileId)).size).toBe(2);
    expect(files[2]).toEqual(files[0]);
    expect([textOf(elements), stateOf(elements)]).toEqual([text, 'SUCCEEDED']);
    const silent = await client.elements(`[[${name} text="" mime=application/octet-stream]]`);
    expect([textOf(silent), filesOf(silent)[0]?.mimeType]).toEqual([
      '',
      'application/octet-stream',
    ]);
    expect(filesOf(silent)).toHaveLength(2);
  });

  test.each(['answer', 'reply'])(
    'grounded counts its places in bytes of the %s',
    async (places) => {
      const elements = await client.elements(`[[grounded places=${places}]]`);
      const replies = elements.flatMap(({ streamAssistResponse }) => {
        return streamAssistResponse?.answer.replies ?? [];
      });
      const whole = textOf(elements);
      const parts = replies.flatMap(({ groundedContent: { content, textGroundingMetadata } }) => {
        const text = places === 'reply' ? (content.text ?? '') : whole;
        return (textGroundingMetadata?.segments ?? []).map((segment) => {
          const [index = -1] = segment.referenceIndices;
          const { uri } = textGroundingMetadata?.references[index]?.documentMetadata ?? {};
          const bytes = Buffer.from(text);
          const start = Number(segment.startIndex ?? 0);
          return [bytes.subarray(start, Number(segment.endIndex)).toString(), uri];
        });
      });
      expect(parts).toEqual([
        ['Satz 1 über 北京 und Zürich 🏔.', 'https://example.com/pages/1?q=z%C3%BCrich'],
        ['Satz 2 über 北京 und Zürich 🏔.', 'https://example.com/pages/2?q=z%C3%BCrich'],
      ]);
    },
  );

  test('a workspace offers the models that it is told to', async () => {
    const asked = { request: { assistGenerationConfig: { modelId: 'gemini-2.5-pro' } } };
    standIn.setModels('demo-1', ['gemini-2.5-flash']);
    const [refused] = await client.elements('[[text value=ok]]', asked);
    expect(refused?.error?.code).toBe(400);
    expect(textOf(await client.elements('[[text value=ok]]'))).toBe('ok');
    standIn.setModels('demo-1', null);
    expect(textOf(await client.elements('[[text value=ok]]', asked))).toBe('ok');
  });

  test('split-surrogate tears an emoji', async () => {
    const { text } = await receive(await client.ask('[[split-surrogate]]'));
    expect(text).toContain('\\ud83d"');
    expect(textOf(JSON.parse(text))).toBe('An emoji in two halves: 😀, whole again.');
  });

  test('silence comes at the start or in the middle', async () => {
    const response = await client.ask('[[silence ms=600]]');
    const headAt = performance.now();
    expect(textOf(JSON.parse((await receive(response)).text))).toBe('Here I am again.');
    expect(performance.now() - headAt).toBeGreaterThan(200);
    const late = await client.ask('[[silence ms=100 after=1]]');
    expect(textOf(JSON.parse((await receive(late)).text))).toBe('piece 1 Here I am again.');
  });
});

describe('lock-step', () => {
  test('writes a piece only after the one before is confirmed', async () => {
    const response = await client.ask('[[lockstep id=a n=3]]');
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    let seen = '';
    for (const number of [1, 2, 3]) {
      while (!seen.includes(`piece ${number}`)) {
        seen += Buffer.from((await reader.read()).value ?? []).toString();
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(standIn.lockstep).toEqual({ a: number });
      expect(standIn.ackPiece('a')).toBe(true);
    }
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      seen += Buffer.from(part.value).toString();
    }
    expect(seen).toContain('SUCCEEDED');
    expect(standIn.ackPiece('a')).toBe(false);
  });

  test('is cut when nobody confirms', async () => {
    const response = await client.ask('[[lockstep id=b]]');
    await expect.poll(() => standIn.lockstep).toEqual({ b: 1 });
    standIn.reset();
    expect((await receive(response)).cut).toBe(true);
  });
});

describe('failures', () => {
  test.each([
    ['http status=429 reason=LLM_OVERLOADED retry-after=3', 429],
    ['object status=503', 503],
    ['array-error status=429', 429],
  ])('%s', async (scenario, status) => {
    const response = await client.ask(`[[${scenario}]]`);
    expect(response.status).toBe(status);
    const body = (await response.json()) as object;
    expect(Array.isArray(body)).toBe(scenario.startsWith('array'));
    expect(JSON.stringify(body)).toContain(`"code":${status}`);
    if (scenario.includes('reason')) {
      expect(response.headers.get('retry-after')).toBe('3');
      expect(body).toMatchObject({ error: { details: [{ reason: 'LLM_OVERLOADED' }] } });
    }
  });

  test('errors inside the array, first or later', async () => {
    const first = await client.elements('[[error-first status=429 reason=LLM_OVERLOADED]]');
    expect(first).toMatchObject([{ error: { status: 'RESOURCE_EXHAUSTED' } }]);
    const later = await client.elements('[[error-after n=2 status=500]]');
    expect(textOf(later)).toBe('piece 1 piece 2 ');
    expect(later.at(-1)).toMatchObject({ error: { code: 500 } });
  });

  test('skipped-policy, failed and utoken-only', async () => {
    const [skipped] = await client.elements('[[skipped-policy]]');
    expect(skipped?.streamAssistResponse?.answer.assistSkippedReasons).toEqual([
      'CUSTOMER_POLICY_VIOLATION',
    ]);
    expect(stateOf(await client.elements('[[failed]]'))).toBe('FAILED');
    expect(await client.elements('[[utoken-only]]')).toEqual([{ uToken: expect.any(String) }]);
  });

  test('no-end closes the array without a terminal state', async () => {
    const elements = await client.elements('[[no-end after=2]]');
    expect([textOf(elements), stateOf(elements)]).toEqual(['piece 1 piece 2 ', 'IN_PROGRESS']);
  });

  test('blocked says what the policy judged', async () => {
    const elements = await client.elements('[[blocked after=1]]');
    expect(textOf(elements)).toBe('piece 1 ');
    const answer = elements.at(-1)?.streamAssistResponse?.answer;
    expect(answer?.customerPolicyEnforcementResult).toMatchObject({ verdict: 'BLOCK' });
  });

  test('truncated and malformed are no JSON', async () => {
    for (const scenario of ['truncated after=2', 'malformed after=2']) {
      const { text, cut } = await receive(await client.ask(`[[${scenario}]]`));
      expect(cut).toBe(false);
      expect(text).toContain('piece 2');
      expect(() => JSON.parse(text)).toThrow();
    }
  });

  test('stall keeps the stream open', async () => {
    const abort = new AbortController();
    const response = await client.ask('[[stall after=1]]', { signal: abort.signal });
    await response.body?.getReader().read();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(standIn.openStreams).toBe(1);
    abort.abort();
    await expect.poll(() => standIn.openStreams).toBe(0);
  });

  test('resets before and after text, told from a client that left', async () => {
    await expect(client.ask('[[reset-before]]')).rejects.toThrow();
    const { text, cut } = await receive(await client.ask('[[reset-after n=2]]'));
    expect(cut).toBe(true);
    expect(text).toContain('piece 2');
    expect(standIn.log.some((entry) => entry.aborted)).toBe(false);
  });

  test('html', async () => {
    const response = await client.ask('[[html]]');
    expect(response.headers.get('content-type')).toContain('text/html');
  });
});
