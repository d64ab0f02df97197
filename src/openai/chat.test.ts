import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_CHOICES, parseChatCompletionRequest } from '@/openai/chat';
import { toErrorBody } from '@/openai/errors';
import { AppError, isAppError } from '@/platform/errors';

const hello = [{ role: 'user', content: 'Hello' }];

/** A whole request with these fields on top. */
function parse(fields: Record<string, unknown>) {
  return parseChatCompletionRequest({ model: 'm', messages: hello, ...fields });
}

function parseMessages(...messages: unknown[]) {
  return parse({ messages }).messages;
}

function refusal(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (isAppError(error)) return { ...toErrorBody(error).error, error };
    throw error;
  }
  throw new Error('The request was accepted.');
}

describe('defaults and forms', () => {
  test('the smallest request', () => {
    expect(parse({})).toEqual({
      model: 'm',
      messages: [
        {
          role: 'user',
          name: null,
          text: 'Hello',
          attachments: [],
          toolCalls: [],
          toolCallId: null,
        },
      ],
      stream: false,
      includeUsage: false,
      n: 1,
      stop: [],
      maxTokens: null,
      conversationId: null,
      imageFormat: 'markdown',
    });
  });

  test('a conversation_id is a hint: one that is none is ignored', () => {
    expect(parse({ conversation_id: 'mine' }).conversationId).toBe('mine');
    for (const value of [null, '', 7, {}, 'x'.repeat(201)]) {
      expect(parse({ conversation_id: value }).conversationId).toBeNull();
    }
  });

  const optional = [
    'stream stream_options n stop max_tokens max_completion_tokens temperature top_p',
    'presence_penalty frequency_penalty seed metadata logprobs top_logprobs tools functions',
    'tool_choice response_format parallel_tool_calls reasoning_effort verbosity modalities user',
    'store service_tier logit_bias prediction web_search_options prompts function_call',
  ].flatMap((line) => line.split(' '));

  test.each(optional)('null means absent: %s', (field) => {
    expect(parse({ [field]: null })).toEqual(parse({}));
  });

  test('unknown fields are ignored, whatever they hold', () => {
    const fields = { top_k: 'x', safe_mode: {}, chat_id: [1], enable_thinking: 5, user: 7 };
    expect(parse(fields)).toEqual(parse({}));
  });

  test.each([
    [true, true],
    ['true', true],
    [false, false],
    ['false', false],
  ])('stream %j', (stream, expected) => {
    expect(parse({ stream }).stream).toBe(expected);
  });

  test('usage is included only in a stream that asks for it', () => {
    const stream_options = { include_usage: true, include_obfuscation: false };
    expect(parse({ stream: true, stream_options }).includeUsage).toBe(true);
    expect(parse({ stream: 'true', stream_options }).includeUsage).toBe(true);
    expect(parse({ stream: true, stream_options: {} }).includeUsage).toBe(false);
    expect(parse({ stream: true, stream_options: { include_usage: null } }).includeUsage).toBe(
      false,
    );
    expect(parse({ stream_options }).includeUsage).toBe(false);
  });

  test('the newer token limit wins, and 0 in the older one means none', () => {
    expect(parse({ max_tokens: 5 }).maxTokens).toBe(5);
    expect(parse({ max_tokens: 5, max_completion_tokens: 7 }).maxTokens).toBe(7);
    expect(parse({ max_tokens: 5, max_completion_tokens: null }).maxTokens).toBe(5);
    expect(parse({ max_tokens: 0 }).maxTokens).toBeNull();
  });

  test('stop sequences: one or several, the empty one stops nothing', () => {
    expect(parse({ stop: 'END' }).stop).toEqual(['END']);
    expect(parse({ stop: ['a', '', '\n\n', 'b'] }).stop).toEqual(['a', '\n\n', 'b']);
    expect(parse({ stop: '' }).stop).toEqual([]);
  });

  test.each([
    { logprobs: false, top_logprobs: 0 },
    { tools: [], functions: [], tool_choice: 'none' },
    { tool_choice: 'auto', parallel_tool_calls: true },
    { response_format: { type: 'text' } },
    { temperature: 0, top_p: 1, presence_penalty: -2, frequency_penalty: 2 },
    { n: MAX_CHOICES, seed: -(2 ** 63), metadata: { a: 'b' } },
  ])('accepted: %j', (fields) => {
    expect(parse(fields).model).toBe('m');
  });
});

describe('refused parameters', () => {
  test.each([
    ['temperature', 'hot', 'invalid_type'],
    ['temperature', 2.1, 'invalid_value'],
    ['temperature', -0.1, 'invalid_value'],
    ['top_p', 1.5, 'invalid_value'],
    ['presence_penalty', -3, 'invalid_value'],
    ['frequency_penalty', 3, 'invalid_value'],
    ['n', 0, 'invalid_value'],
    ['n', MAX_CHOICES + 1, 'invalid_value'],
    ['n', 1.5, 'invalid_type'],
    ['n', '2', 'invalid_type'],
    ['max_tokens', -1, 'invalid_value'],
    ['max_tokens', 1.5, 'invalid_type'],
    ['max_tokens', Number.POSITIVE_INFINITY, 'invalid_type'],
    ['max_completion_tokens', 0, 'invalid_value'],
    ['seed', 'x', 'invalid_type'],
    ['seed', 0.5, 'invalid_value'],
    ['stream', 'yes', 'invalid_value'],
    ['stream', 1, 'invalid_value'],
    ['stream_options', 'x', 'invalid_type'],
    ['stream_options', [], 'invalid_type'],
    ['metadata', 'x', 'invalid_type'],
    ['metadata', [], 'invalid_type'],
    ['stop', 5, 'invalid_type'],
    ['stop', [], 'invalid_value'],
    ['stop', ['a', 'b', 'c', 'd', 'e'], 'invalid_value'],
    ['logprobs', true, 'invalid_value'],
    ['logprobs', 'false', 'invalid_type'],
    ['top_logprobs', 3, 'invalid_value'],
    ['top_logprobs', 21, 'invalid_value'],
    ['tools', {}, 'invalid_type'],
    ['tools', [{ type: 'function', function: { name: 'f' } }], 'invalid_value'],
    ['functions', [{ name: 'f' }], 'invalid_value'],
    ['tool_choice', 'required', 'invalid_value'],
    ['tool_choice', { type: 'function', function: { name: 'f' } }, 'invalid_value'],
    ['response_format', 'json', 'invalid_type'],
    ['response_format', { type: 'json_object' }, 'invalid_value'],
    ['response_format', { type: 'json_schema', json_schema: { name: 'a' } }, 'invalid_value'],
    ['messages', [], 'invalid_value'],
    ['messages', 'Hello', 'invalid_type'],
    ['messages', {}, 'invalid_type'],
    ['prompts', [], 'invalid_value'],
    ['model', null, 'invalid_type'],
    ['model', 5, 'invalid_type'],
  ])('%s: %j', (param, value, code) => {
    const error = refusal(() => parse({ [param]: value }));
    expect(error).toMatchObject({ type: 'invalid_request_error', param, code });
    expect(error.message).not.toBe('');
  });

  test.each([
    [{ stream_options: { include_usage: 'x' } }, 'stream_options.include_usage', 'invalid_type'],
    [{ stop: ['a', 5] }, 'stop[1]', 'invalid_type'],
    [{ response_format: {} }, 'response_format.type', 'missing_required_parameter'],
    [{ response_format: { type: 'xml' } }, 'response_format.type', 'invalid_value'],
    [{ model: undefined }, 'model', 'missing_required_parameter'],
    [{ messages: undefined }, 'messages', 'missing_required_parameter'],
    [{ messages: null, prompts: null }, 'messages', 'missing_required_parameter'],
  ])('%j', (fields, param, code) => {
    expect(refusal(() => parse(fields))).toMatchObject({ param, code });
  });

  test('the message names the value and what would be right', () => {
    const message = (fields: Record<string, unknown>) => refusal(() => parse(fields)).message;
    expect(message({ temperature: 'hot' })).toBe(
      'Invalid type for \'temperature\': expected a number, got "hot".',
    );
    expect(message({ n: 9 })).toBe("Invalid value for 'n': 9. It must be at most 4.");
    expect(message({ stop: 5 })).toBe(
      "Invalid type for 'stop': expected a string or an array, got 5.",
    );
    expect(message({ stop: [] })).toBe(
      "Invalid value for 'stop': an empty array. It must have at least 1 item(s).",
    );
    expect(message({ messages: [{ role: 'bob' }] })).toContain('"bob"');
    expect(message({ messages: [{ role: 'bob' }] })).toContain("'developer'");
    expect(message({ model: undefined })).toBe("Missing required parameter: 'model'.");
    expect(message({ response_format: { type: 'json_object' } })).toContain("'json_object'");
    expect(message({ tool_choice: 'required' })).toContain('"required"');
    expect(message({ temperature: 'x'.repeat(5000) }).length).toBeLessThan(250);
  });

  test.each([null, undefined, [], 'text', 5, true])('no object: %j', (body) => {
    const error = refusal(() => parseChatCompletionRequest(body));
    expect(error).toMatchObject({ type: 'invalid_request_error', param: null, code: null });
  });
});

describe('messages', () => {
  test('every role', () => {
    const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } };
    const messages = parseMessages(
      { role: 'system', content: 's' },
      { role: 'developer', content: [{ type: 'text', text: 'd' }] },
      { role: 'user', content: 'u', name: 'Bob' },
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', content: 't', tool_call_id: 'c1' },
      { role: 'assistant', function_call: { name: 'g', arguments: '{}' } },
      { role: 'function', content: null, name: 'g' },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }], tool_calls: null },
    );
    const plain = { name: null, attachments: [], toolCalls: [], toolCallId: null };
    expect(messages).toEqual([
      { ...plain, role: 'system', text: 's' },
      { ...plain, role: 'system', text: 'd' },
      { ...plain, role: 'user', text: 'u', name: 'Bob' },
      {
        ...plain,
        role: 'assistant',
        text: '',
        toolCalls: [{ id: 'c1', name: 'f', arguments: '{"a":1}' }],
      },
      { ...plain, role: 'tool', text: 't', toolCallId: 'c1' },
      {
        ...plain,
        role: 'assistant',
        text: '',
        toolCalls: [{ id: '', name: 'g', arguments: '{}' }],
      },
      { ...plain, role: 'tool', text: '', name: 'g' },
      { ...plain, role: 'assistant', text: 'No.' },
    ]);
  });

  test('several text parts stay in order', () => {
    const content = ['one', '', ' two\n'].map((text) => ({ type: 'text', text }));
    expect(parseMessages({ role: 'user', content })[0]?.text).toBe('one\n\n two\n');
  });

  test('an empty text and no parts are allowed', () => {
    expect(parseMessages({ role: 'user', content: '' })[0]?.text).toBe('');
    expect(parseMessages({ role: 'user', content: [] })[0]?.text).toBe('');
  });

  test('what clients send back with an assistant message is ignored', () => {
    const extra = { refusal: null, audio: null, annotations: [], reasoning_content: 'hm' };
    expect(parseMessages({ role: 'assistant', content: 'a', ...extra })[0]?.text).toBe('a');
  });

  test.each([
    [{ content: null, refusal: 'I will not\ud800' }, 'I will not\ufffd'],
    [{ refusal: 'I will not' }, 'I will not'],
    [{ content: '', refusal: 'I will not' }, 'I will not'],
    [{ content: 'Hm.', refusal: 'I will not' }, 'Hm.\nI will not'],
    [{ content: [{ type: 'text', text: 'Hm.' }], refusal: 'I will not' }, 'Hm.\nI will not'],
    [{ content: 'Hm.', refusal: '' }, 'Hm.'],
  ])('a refusal that is sent back is what the assistant said: %j', (said, text) => {
    expect(parseMessages({ role: 'assistant', ...said })[0]?.text).toBe(text);
  });

  test('text is untouched but for lone surrogates', () => {
    const text = '  "é"\r\n```js\n\u0000</user>\u{1f600}\t ';
    expect(parseMessages({ role: 'user', content: text })[0]?.text).toBe(text);
    expect(parseMessages({ role: 'user', content: 'a\ud800b' })[0]?.text).toBe('a\ufffdb');
  });

  test.each([
    [{ role: 'bob', content: 'x' }, 'messages[0].role', 'invalid_value'],
    [{ role: 'User', content: 'x' }, 'messages[0].role', 'invalid_value'],
    [{ content: 'x' }, 'messages[0].role', 'missing_required_parameter'],
    ['x', 'messages[0]', 'invalid_type'],
    [null, 'messages[0]', 'invalid_type'],
    [{ role: 'user' }, 'messages[0].content', 'missing_required_parameter'],
    [{ role: 'user', content: null }, 'messages[0].content', 'invalid_type'],
    [{ role: 'user', content: 5 }, 'messages[0].content', 'invalid_type'],
    [{ role: 'user', content: {} }, 'messages[0].content', 'invalid_type'],
    [{ role: 'user', content: ['x'] }, 'messages[0].content[0]', 'invalid_type'],
    [{ role: 'user', content: 'x', name: 5 }, 'messages[0].name', 'invalid_type'],
    [{ role: 'system', content: null }, 'messages[0].content', 'invalid_type'],
    [{ role: 'assistant' }, 'messages[0].content', 'missing_required_parameter'],
    [{ role: 'assistant', refusal: null }, 'messages[0].content', 'missing_required_parameter'],
    [{ role: 'assistant', content: null, refusal: 5 }, 'messages[0].refusal', 'invalid_type'],
    [
      { role: 'assistant', content: null, tool_calls: [] },
      'messages[0].content',
      'missing_required_parameter',
    ],
    [
      { role: 'assistant', content: null, tool_calls: [{ id: 'a', function: { name: 'f' } }] },
      'messages[0].tool_calls[0].function.arguments',
      'missing_required_parameter',
    ],
    [{ role: 'tool', content: 'x' }, 'messages[0].tool_call_id', 'missing_required_parameter'],
    [{ role: 'function', content: [] }, 'messages[0].content', 'invalid_type'],
    [
      { role: 'user', content: [{ type: 'text' }] },
      'messages[0].content[0].text',
      'missing_required_parameter',
    ],
    [
      { role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'hologram' }] },
      'messages[0].content[1].type',
      'invalid_value',
    ],
    [
      { role: 'user', content: [{ text: 'a' }] },
      'messages[0].content[0].type',
      'missing_required_parameter',
    ],
    [
      { role: 'user', content: [{ type: 'refusal', refusal: 'a' }] },
      'messages[0].content[0].type',
      'invalid_value',
    ],
  ])('%j is refused', (message, param, code) => {
    expect(refusal(() => parseMessages(message))).toMatchObject({ param, code });
  });

  test.each([
    [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }, 'image_url'],
    [{ type: 'file', file: { file_id: 'file-1' } }, 'file'],
    [{ type: 'file', file: { filename: 'a.pdf', file_data: 'AA==' } }, 'file'],
    [{ type: 'file', file_id: 'file-1' }, 'file'],
    [{ type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } }, 'input_audio'],
    [{ type: 'video_url', video_url: { url: 'https://example.com/a.mp4' } }, 'video_url'],
    [{ type: 'image', data: 'AA==' }, 'data'],
  ])('attachment %j', (part, key) => {
    const user = { role: 'user', content: [{ type: 'text', text: 'Look' }, part, part] };
    const [, message] = parseMessages({ role: 'system', content: 's' }, user);
    expect(message?.text).toBe('Look');
    expect(message?.attachments.map(({ param }) => param)).toEqual([
      `messages[1].content[1].${key}`,
      `messages[1].content[2].${key}`,
    ]);
  });

  test.each([
    [{ type: 'image_url', image_url: {} }, 'image_url.url'],
    [{ type: 'image_url', image_url: 'cat.png' }, 'image_url'],
    [{ type: 'file' }, 'file'],
    [{ type: 'input_audio', input_audio: { data: 'AA==', format: 'ogg' } }, 'input_audio.format'],
  ])('attachment %j is refused', (part, key) => {
    const error = refusal(() => parseMessages({ role: 'user', content: [part] }));
    expect(error.param).toBe(`messages[0].content[0].${key}`);
  });

  test('system and tool messages bring nothing along', () => {
    const part = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } };
    for (const message of [{ role: 'system' }, { role: 'tool', tool_call_id: 't' }]) {
      const error = refusal(() => parseMessages({ ...message, content: [part] }));
      expect(error.param).toBe('messages[0].content[0].type');
    }
  });

  test('what an earlier answer has shown in a part stands in its text, as for others', () => {
    const shown = { type: 'image_url', image_url: { url: 'https://pool.test/image/a.png' } };
    const content = [{ type: 'text', text: 'Here.' }, shown, shown];
    const [message] = parseMessages({ role: 'assistant', content });
    const markdown = '![image](https://pool.test/image/a.png)';
    expect(message?.text).toBe(`Here.\n\n${markdown}\n\n${markdown}`);
    expect(message?.attachments).toEqual([]);
  });

  test('more messages or longer stop sequences than anybody needs are refused', () => {
    const messages = Array.from({ length: 10_001 }, () => ({ role: 'user', content: 'x' }));
    expect(refusal(() => parse({ messages })).param).toBe('messages');
    expect(refusal(() => parse({ stop: 'x'.repeat(1_001) })).param).toBe('stop');
    expect(parse({ stop: ['x'.repeat(1_000)] }).stop).toHaveLength(1);
  });

  test('a body of wrong items ends with the first', () => {
    const messages = Array.from({ length: 10_000 }, () => 1);
    expect(refusal(() => parse({ messages })).param).toBe('messages[0]');
    const content = Array.from({ length: 200_000 }, () => 1);
    expect(refusal(() => parseMessages({ role: 'user', content })).param).toBe(
      'messages[0].content[0]',
    );
  });
});

describe('the older prompts form', () => {
  const parsePrompts = (...prompts: unknown[]) =>
    parseChatCompletionRequest({ model: 'm', prompts, stream: true });

  test('means messages', () => {
    const parsed = parsePrompts(
      { role: 'system', text: 's', files: [] },
      { role: 'user', text: 'u', files: null },
      { text: 'v' },
    );
    expect(parsed.messages.map(({ role, text }) => [role, text])).toEqual([
      ['system', 's'],
      ['user', 'u'],
      ['user', 'v'],
    ]);
    expect(parsed.stream).toBe(true);
  });

  test('files are attachments', () => {
    const file = { data: 'data:image/png;base64,AA==', type: 'image' };
    const [message] = parsePrompts({ role: 'user', text: 'u', files: [file, file] }).messages;
    expect(message?.attachments.map(({ param }) => param)).toEqual([
      'prompts[0].files[0].data',
      'prompts[0].files[1].data',
    ]);
    const wrong = { role: 'user', text: 'u', files: [{ data: '***' }] };
    expect(refusal(() => parsePrompts(wrong)).param).toBe('prompts[0].files[0].data');
  });

  test('an image format is one of four, and an array is not streamed', () => {
    expect(parse({}).imageFormat).toBe('markdown');
    expect(parse({ image_format: 'base64', stream: true }).imageFormat).toBe('base64');
    expect(refusal(() => parse({ image_format: 'html' })).param).toBe('image_format');
    expect(refusal(() => parse({ image_format: 'array', stream: true })).param).toBe(
      'image_format',
    );
  });

  test('a missing text is named', () => {
    expect(refusal(() => parsePrompts({ role: 'user' })).param).toBe('prompts[0].text');
  });
});

describe('hostile bodies', () => {
  test('a model name of 5,000 characters, NUL and half a character are no fault of form', () => {
    expect(parse({ model: 'x'.repeat(5000) }).model).toHaveLength(5000);
    expect(parse({ model: 'a\u0000\ud800' }).model).toBe('a\u0000\ufffd');
  });

  test('nesting without end is walked neither into nor through', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    for (const field of ['model', 'temperature', 'messages', 'stop', 'tool_choice', 'metadata']) {
      expect(refusal(() => parse({ [field]: deep })).param).toMatch(new RegExp(`^${field}`));
    }
    expect(parse({ unknown: deep, user: deep }).model).toBe('m');
    expect(refusal(() => parseMessages({ role: 'user', content: deep })).param).toBe(
      'messages[0].content[0]',
    );
  });

  test('__proto__ and its like change nothing', () => {
    const body = JSON.parse(
      '{"model":"m","messages":[{"role":"user","content":"a","__proto__":{"name":"x"}}],' +
        '"__proto__":{"stream":true},"constructor":{"prototype":{"n":2}}}',
    );
    expect(parseChatCompletionRequest(body)).toMatchObject({ stream: false, n: 1 });
    expect(parseChatCompletionRequest(body).messages[0]?.name).toBeNull();
    expect(({} as Record<string, unknown>).stream).toBeUndefined();
    const inherited = JSON.parse('{"__proto__":{"model":"m","messages":[]}}');
    expect(refusal(() => parseChatCompletionRequest(inherited)).param).toBe('model');
  });

  const json = fc.jsonValue();
  const text = fc.oneof(fc.string({ unit: 'binary' }), json);
  const part = fc.record(
    {
      type: fc.oneof(fc.constantFrom('text', 'image_url', 'file', 'refusal'), json),
      text,
      file: json,
    },
    { requiredKeys: [] },
  );
  const message = fc.record(
    {
      role: fc.oneof(fc.constantFrom('user', 'system', 'assistant', 'tool', 'function'), json),
      content: fc.oneof(text, fc.array(fc.oneof(part, json))),
      tool_calls: fc.oneof(json, fc.array(json)),
      tool_call_id: text,
      name: text,
    },
    { requiredKeys: [] },
  );
  const request = fc.record(
    {
      model: text,
      messages: fc.oneof(fc.array(fc.oneof(message, json)), json),
      prompts: fc.oneof(fc.constant(null), json),
      stop: json,
      stream: json,
      n: json,
      response_format: json,
    },
    { requiredKeys: [] },
  );

  test('any JSON is accepted or refused with the name of a parameter', () => {
    const isRefusalWithParam = (body: object) => {
      try {
        parseChatCompletionRequest(body);
      } catch (error) {
        expect(isAppError(error)).toBe(true);
        if (!(error instanceof AppError)) throw error;
        expect(error.code).toBe('invalid_request');
        expect(error.param).toMatch(/^(model|messages|prompts|stop|stream|n|response_format)\b/);
        expect(error.message.isWellFormed()).toBe(true);
      }
    };
    fc.assert(fc.property(request, isRefusalWithParam), { numRuns: 1000 });
    fc.assert(
      fc.property(json, (body) => {
        try {
          parseChatCompletionRequest(body);
        } catch (error) {
          expect(isAppError(error)).toBe(true);
        }
      }),
    );
  });
});
