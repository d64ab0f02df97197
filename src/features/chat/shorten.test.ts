import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shortened } from '@/features/chat/shorten';
import type { ChatMessage } from '@/openai/chat';

const message = (role: ChatMessage['role'], text: string): ChatMessage => ({
  role,
  text,
  name: null,
  attachments: [],
  toolCalls: [],
  toolCallId: null,
});
const isNote = ({ text }: ChatMessage) => text.includes('left out');
const texts = (messages: ChatMessage[] | null) =>
  messages?.filter((each) => !isNote(each)).map(({ text }) => text);

describe('a conversation that is too long', () => {
  it('goes without its older half, with a line that says so', () => {
    const messages = ['1', '2', '3', '4', '5'].map((text) => message('user', text));
    const [note, ...rest] = shortened(messages) ?? [];
    expect(note).toMatchObject({ role: 'system', text: expect.stringMatching(/left out/) });
    expect(rest.map(({ text }) => text)).toEqual(['3', '4', '5']);
    expect(shortened([message('system', 'a'), ...messages])?.map(isNote)).toEqual([
      ...[false, true],
      ...[false, false, false],
    ]);
  });

  it('keeps all system turns and the last turn, down to those alone', () => {
    const messages = [
      message('system', 'a'),
      message('user', 'long '.repeat(9)),
      message('system', 'b'),
      message('user', 'short'),
      message('user', 'last'),
    ];
    const once = shortened(messages);
    expect(texts(once)).toEqual(['a', 'b', 'short', 'last']);
    const twice = once && shortened(once);
    expect(texts(twice)).toEqual(['a', 'b', 'last']);
    expect(twice?.filter(isNote)).toHaveLength(1);
    expect(twice && shortened(twice)).toBeNull();
    expect(shortened([message('user', 'alone')])).toBeNull();
  });

  it('has no results of calls that are left out', () => {
    const messages = [
      message('assistant', 'a call'),
      message('tool', 'r'),
      message('tool', 'r'),
      message('user', 'last'),
    ];
    expect(texts(shortened(messages))).toEqual(['last']);
  });

  it('keeps the turn with the calls whose results are last', () => {
    const messages = [
      message('user', 'old '.repeat(9)),
      message('assistant', 'old'),
      message('user', 'do it'),
      message('assistant', 'the calls'),
      message('tool', 'one'),
      message('system', 'b'),
      message('tool', 'other'),
    ];
    const once = shortened(messages);
    expect(texts(once)).toEqual(['old', 'do it', 'the calls', 'one', 'b', 'other']);
    const twice = once && shortened(once);
    expect(texts(twice)).toEqual(['the calls', 'one', 'b', 'other']);
    expect(twice && shortened(twice)).toBeNull();
    expect(shortened([message('tool', 'one'), message('tool', 'other')])).toBeNull();
  });

  it('gets shorter each time, whatever its turns are', () => {
    const turn = fc.tuple(
      fc.constantFrom<ChatMessage['role'][]>('system', 'user', 'assistant', 'tool'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1 }), (turns) => {
        let messages: ChatMessage[] | null = turns.map(([role, text]) => message(role, text));
        const last = messages.at(-1);
        for (let left = messages.length; messages; left -= 1) {
          expect(messages.at(-1)).toBe(last);
          expect(left).toBeGreaterThanOrEqual(0);
          messages = shortened(messages);
        }
      }),
    );
  });
});
