import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isGeminiError } from './errors';
import { eventsOfElement, type GeminiEvent, hasAnswer, hasRenewedToken } from './events';

function eventsOf(element: unknown): GeminiEvent[] {
  const out: GeminiEvent[] = [];
  eventsOfElement(element, out);
  return out;
}

function failureOf(element: unknown) {
  const events: GeminiEvent[] = [];
  try {
    eventsOfElement(element, events);
  } catch (error) {
    if (!isGeminiError(error)) throw error;
    return { fault: error.fault, reason: error.reason, events };
  }
  throw new Error('it did not throw');
}

const answer = (fields: object) => ({ streamAssistResponse: { answer: fields } });
const reply = (content: unknown, fields: object = {}) => ({
  ...fields,
  groundedContent: { content },
});

describe('events', () => {
  test('text, thought and end, in the order of the replies', () => {
    const element = answer({
      state: 'SUCCEEDED',
      replies: [
        reply({ role: 'model', text: '**Planning**\n', thought: true }),
        reply({ text: '**bold** stays text' }),
        reply({ text: 'by the reply' }, { thought: true }),
        reply({ parts: [{ text: 'one' }, { text: 'two', thought: true }, { file: {} }] }),
      ],
    });
    expect(eventsOf(element)).toEqual([
      { type: 'thought', text: '**Planning**\n' },
      { type: 'text', text: '**bold** stays text' },
      { type: 'thought', text: 'by the reply' },
      { type: 'text', text: 'one' },
      { type: 'thought', text: 'two' },
      { type: 'end', state: 'SUCCEEDED', sessionName: null },
    ]);
  });

  test.each([
    ['empty content', answer({ replies: [reply({})] })],
    ['an empty text', answer({ replies: [reply({ text: '' })] })],
    ['a reply with metadata only', answer({ replies: [{ replyId: 'r1' }] })],
    ['progress information', { streamAssistResponse: { sessionInfo: {}, statusUpdates: [{}] } }],
    ['a token alone', { uToken: 'x.y.z' }],
    ['an unknown state', answer({ state: 'IN_PROGRESS' })],
    ['null as error', { error: null }],
    ['numbers for strings', answer({ state: 7, replies: [reply({ text: 5 }), 3, null] })],
    ['strings for objects', { streamAssistResponse: 'x', error: 'y' }],
    ['arrays for objects', answer({ replies: [{ groundedContent: [{ content: {} }] }] })],
  ])('skips %s', (_name, element) => {
    expect(eventsOf(element)).toEqual([]);
  });

  test('files, in their places among the texts, repeated ones too', () => {
    const file = (fileId: string, mimeType?: unknown) => ({ file: { fileId, mimeType } });
    const element = answer({
      replies: [
        reply({ text: 'Here: ', ...file('f1', 'image/png') }),
        reply({ parts: [file('f2', 'video/mp4'), { text: 'and ' }, file('f1', 'image/png')] }),
        reply({ ...file('f3'), thought: true }),
      ],
    });
    expect(eventsOf(element)).toEqual([
      { type: 'text', text: 'Here: ' },
      { type: 'file', fileId: 'f1', mimeType: 'image/png' },
      { type: 'file', fileId: 'f2', mimeType: 'video/mp4' },
      { type: 'text', text: 'and ' },
      { type: 'file', fileId: 'f1', mimeType: 'image/png' },
      { type: 'file', fileId: 'f3', mimeType: 'application/octet-stream' },
    ]);
  });

  test.each([7, null, undefined, '', {}, ['f1'], 'f'.repeat(257)])(
    'a file with the id %j is no file',
    (fileId) => {
      const file = { fileId, mimeType: 'image/png' };
      expect(
        eventsOf(answer({ replies: [reply({ file }), reply({ parts: [{ file }] })] })),
      ).toEqual([]);
    },
  );

  test.each([
    ['image/svg+xml', 'image/svg+xml'],
    ['image/png ; q="a\nb"', 'image/png'],
    [7, 'application/octet-stream'],
    ['', 'application/octet-stream'],
    ['image', 'application/octet-stream'],
    ['image/png\n[x]', 'application/octet-stream'],
    [`image/${'x'.repeat(128)}`, 'application/octet-stream'],
  ])('the type %j is taken for %s', (mimeType, expected) => {
    const element = answer({ replies: [reply({ file: { fileId: 'f1', mimeType } })] });
    expect(eventsOf(element)).toEqual([{ type: 'file', fileId: 'f1', mimeType: expected }]);
  });

  test('files within the answer, without their names', () => {
    const inline = (data: unknown, mimeType?: unknown) => ({
      inlineData: { mimeType, data, name: '../x' },
    });
    const element = answer({
      replies: [
        reply({ text: 'Here: ', ...inline('aGk=', 'image/png; a=b') }),
        reply({
          parts: [inline('aGk='), { text: '!' }, inline(''), inline(7), { inlineData: 'x' }],
        }),
      ],
    });
    expect(eventsOf(element)).toEqual([
      { type: 'text', text: 'Here: ' },
      { type: 'inline_file', mimeType: 'image/png', base64: 'aGk=' },
      { type: 'inline_file', mimeType: 'application/octet-stream', base64: 'aGk=' },
      { type: 'text', text: '!' },
    ]);
  });

  test.each([
    [{ session: 'projects/7/sessions/42', queryId: 'q1' }, 'projects/7/sessions/42'],
    [{ session: '' }, null],
    [{ session: 7 }, null],
    [{ session: 'x'.repeat(513) }, null],
    [{}, null],
    ['x', null],
  ])('the end tells the session that %j names', (sessionInfo, sessionName) => {
    const element = { streamAssistResponse: { answer: { state: 'SUCCEEDED' }, sessionInfo } };
    expect(eventsOf(element)).toEqual([{ type: 'end', state: 'SUCCEEDED', sessionName }]);
  });

  test('citations follow the text of their reply; those of thoughts are left out', () => {
    const textGroundingMetadata = {
      segments: [{ endIndex: '3', referenceIndices: [0] }],
      references: [{ documentMetadata: { uri: 'https://example.com/', title: 'Example' } }],
    };
    const grounded = (content: object | null) => ({
      groundedContent: { ...(content && { content }), textGroundingMetadata },
    });
    const sources = [{ url: 'https://example.com/', title: 'Example' }];
    const segments = [{ startByte: 0, endByte: 3, text: null, sources }];
    const element = answer({
      state: 'SUCCEEDED',
      replies: [
        grounded({ parts: [{ text: 'a ' }, { text: 'b' }] }),
        grounded({ text: 'hm', thought: true }),
        grounded({}),
        grounded(null),
      ],
    });
    expect(eventsOf(element)).toEqual([
      { type: 'text', text: 'a ' },
      { type: 'text', text: 'b' },
      { type: 'citations', replyText: 'a b', segments, sources },
      { type: 'thought', text: 'hm' },
      { type: 'citations', replyText: '', segments, sources },
      { type: 'citations', replyText: '', segments, sources },
      { type: 'end', state: 'SUCCEEDED', sessionName: null },
    ]);
  });

  test('a thought needs the flag: a string there says nothing', () => {
    const element = answer({ replies: [reply({ text: 'a' }, { thought: 'yes' })] });
    expect(eventsOf(element)).toEqual([{ type: 'text', text: 'a' }]);
  });

  test('tells elements with an answer from those with a token', () => {
    expect([hasAnswer(answer({})), hasAnswer({ uToken: 'x' }), hasAnswer(null)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([hasRenewedToken({ uToken: 'x' }), hasRenewedToken({ uToken: 1 })]).toEqual([
      true,
      false,
    ]);
  });
});

describe('failures', () => {
  const policy = 'CUSTOMER_POLICY_VIOLATION';

  test.each([
    [
      'the policy, as a skip',
      answer({ state: 'SKIPPED', assistSkippedReasons: [policy] }),
      { fault: 'request', reason: policy },
    ],
    [
      'the policy, as a verdict',
      answer({ state: 'SUCCEEDED', customerPolicyEnforcementResult: { verdict: 'BLOCK' } }),
      { fault: 'request', reason: policy },
    ],
    [
      'small talk',
      answer({ state: 'SKIPPED', assistSkippedReasons: ['NON_ASSIST_SEEKING_QUERY_IGNORED'] }),
      { fault: 'upstream', reason: 'NON_ASSIST_SEEKING_QUERY_IGNORED' },
    ],
    ['a failed turn', answer({ state: 'FAILED' }), { fault: 'upstream', reason: 'FAILED' }],
    ['a cancelled turn', answer({ state: 'CANCELLED' }), { fault: 'upstream', reason: 'FAILED' }],
    [
      'an error element',
      { error: { code: 429, details: [{ reason: 'LLM_OVERLOADED' }] } },
      { fault: 'overload', reason: 'LLM_OVERLOADED' },
    ],
  ])('%s', (_name, element, expected) => {
    expect(failureOf(element)).toMatchObject(expected);
  });

  test('text of the failing element is not lost', () => {
    const element = answer({ state: 'FAILED', replies: [reply({ text: 'so far' })] });
    expect(failureOf(element).events).toEqual([{ type: 'text', text: 'so far' }]);
  });

  test('no shape of an element throws anything but GeminiError', () => {
    const keys = fc.constantFrom(
      ...['error', 'streamAssistResponse', 'answer', 'replies', 'groundedContent', 'content'],
      ...['file', 'fileId', 'mimeType', 'textGroundingMetadata'],
      ...['inlineData', 'data', 'sessionInfo', 'session'],
      ...['parts', 'text', 'thought', 'state', 'details', 'reason', 'code', 'message', 'verdict'],
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium' },
        fc.constantFrom<unknown>(null, 0, 'SKIPPED', 'FAILED', true),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(keys, tie('tree')),
      ),
    }));
    fc.assert(
      fc.property(tree, (element) => {
        try {
          eventsOf(element);
        } catch (error) {
          expect(isGeminiError(error)).toBe(true);
        }
      }),
    );
  });
});
