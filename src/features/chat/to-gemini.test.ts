import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toPrompt } from '@/features/chat/to-gemini';
import type { ChatMessage } from '@/openai/chat';

function message(
  role: ChatMessage['role'],
  text: string,
  fields: Partial<ChatMessage> = {},
): ChatMessage {
  return { role, text, name: null, attachments: [], toolCalls: [], toolCallId: null, ...fields };
}

describe('a single user text', () => {
  test.each(['Hello', '  \n<user>\n\u{1f600} ', 'a\r\nb'])('%j goes up as it is', (text) => {
    expect(toPrompt([message('user', text)])).toBe(text);
    expect(toPrompt([message('user', text, { name: 'Bob' })])).toBe(text);
  });
});

test('an empty user text stands between tags: the upstream refuses an empty query', () => {
  expect(toPrompt([message('user', '')])).toBe('<user>\n\n</user>');
  expect(toPrompt([message('user', '', { name: 'Bob' })])).toBe('<user name="Bob">\n\n</user>');
});

describe('the layout', () => {
  test('system turns stand first, the others in order', () => {
    const prompt = toPrompt([
      message('system', 'Be brief.'),
      message('user', 'Hello'),
      message('assistant', 'Hi.\n\nHow are you?'),
      message('system', 'Speak French.'),
      message('user', 'Fine'),
    ]);
    expect(prompt).toBe(
      [
        '<system>\nBe brief.\n</system>',
        '<system>\nSpeak French.\n</system>',
        '<user>\nHello\n</user>',
        '<assistant>\nHi.\n\nHow are you?\n</assistant>',
        '<user>\nFine\n</user>',
      ].join('\n\n'),
    );
  });

  test('a last assistant turn is left open', () => {
    expect(toPrompt([message('user', 'Count'), message('assistant', '1, 2,')])).toBe(
      '<user>\nCount\n</user>\n\n<assistant>\n1, 2,',
    );
    expect(toPrompt([message('assistant', 'Once')])).toBe('<assistant>\nOnce');
  });

  test('only the last, though a system turn follows', () => {
    const prompt = toPrompt([message('assistant', 'Once'), message('system', 'Rhyme.')]);
    expect(prompt).toBe('<system>\nRhyme.\n</system>\n\n<assistant>\nOnce\n</assistant>');
  });

  test('system turns alone', () => {
    expect(toPrompt([message('system', 'Be brief.')])).toBe('<system>\nBe brief.\n</system>');
  });

  test('an empty text keeps its turn', () => {
    expect(toPrompt([message('user', ''), message('user', 'a')])).toBe(
      '<user>\n\n</user>\n\n<user>\na\n</user>',
    );
  });

  test('names', () => {
    const named = (name: string) =>
      toPrompt([message('user', 'a', { name }), message('user', 'b')]).split('\n')[0];
    expect(named('Bob')).toBe('<user name="Bob">');
    expect(named('')).toBe('<user>');
    expect(named('a "b" <c> & d\n</user>')).toBe(
      '<user name="a &quot;b&quot; &lt;c&gt; &amp; d &lt;/user&gt;">',
    );
  });

  test('calls and their results', () => {
    const toolCalls = [
      { id: 'call_1', name: 'weather', arguments: '{"city": "Paris\\n</tool_call>"}' },
      { id: '', name: 'time', arguments: '{}' },
    ];
    const prompt = toPrompt([
      message('user', 'Weather?'),
      message('assistant', '', { toolCalls }),
      message('tool', '21 °C', { toolCallId: 'call_1' }),
      message('tool', 'noon', { name: 'time' }),
    ]);
    expect(prompt).toBe(
      [
        '<user>\nWeather?\n</user>',
        '<assistant>\n' +
          '<tool_call id="call_1" name="weather">\n' +
          '{"city": "Paris\\n</tool_call>"}\n' +
          '</tool_call>\n' +
          '<tool_call name="time">\n{}\n</tool_call>\n' +
          '</assistant>',
        '<tool call_id="call_1">\n21 °C\n</tool>',
        '<tool name="time">\nnoon\n</tool>',
      ].join('\n\n'),
    );
  });

  test('what was said beside a call stays; a last turn of calls is closed', () => {
    const toolCalls = [{ id: 'c', name: 'f', arguments: '{}' }];
    expect(toPrompt([message('assistant', 'Wait.', { toolCalls })])).toBe(
      '<assistant>\nWait.\n<tool_call id="c" name="f">\n{}\n</tool_call>\n</assistant>',
    );
  });
});

test('every text is there, unchanged and in order', () => {
  const anyMessage = fc
    .record({
      role: fc.constantFrom<ChatMessage['role']>('system', 'user', 'assistant', 'tool'),
      text: fc.string({ unit: 'binary', maxLength: 40 }),
      name: fc.option(fc.string()),
      json: fc.option(fc.json()),
    })
    .map(({ role, text, name, json }) =>
      message(role, text, {
        name,
        toolCalls:
          role === 'assistant' && json !== null ? [{ id: 'c', name: 'f', arguments: json }] : [],
        toolCallId: role === 'tool' ? 'c' : null,
      }),
    );
  fc.assert(
    fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 8 }), (messages) => {
      const prompt = toPrompt(messages);
      const texts = [
        ...messages.filter(({ role }) => role === 'system'),
        ...messages.filter(({ role }) => role !== 'system'),
      ].flatMap(({ text, toolCalls }) => [text, ...toolCalls.map((call) => call.arguments)]);
      let from = 0;
      for (const text of texts) {
        const at = prompt.indexOf(text, from);
        expect(at).toBeGreaterThanOrEqual(from);
        from = at + text.length;
      }
    }),
  );
});
