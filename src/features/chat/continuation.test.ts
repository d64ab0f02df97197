import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashWithReply, type Scope, threadOf } from '@/features/chat/continuation';
import { type ChatMessage, parseChatCompletionRequest } from '@/openai/chat';

const scope: Scope = { keyId: 'key', modelId: 'model', upstreamModelId: null, tools: ['image'] };

const messagesOf = (...messages: object[]): ChatMessage[] =>
  parseChatCompletionRequest({ model: 'model', messages }).messages;
const hashOf = (messages: ChatMessage[], of = scope) => threadOf(of, messages).hash;

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });

describe('the hash of a conversation', () => {
  it('with its reply is the one that the next request begins with', () => {
    const first = messagesOf({ role: 'system', content: 'Be brief.' }, user('Hi'));
    const replied = hashWithReply(hashOf(first) ?? '', 'Hello. ');
    const next = messagesOf(
      { role: 'developer', content: [{ type: 'text', text: 'Be brief.' }] },
      user([{ type: 'text', text: 'Hi' }]),
      {
        ...assistant([{ type: 'text', text: 'Hello. ' }]),
        reasoning_content: 'Hm.',
        annotations: [],
      },
      user('And now?'),
    );
    expect(threadOf(scope, next).prefixes).toEqual([{ length: 3, hash: replied }]);
  });

  it.each<[string, Partial<Scope>]>([
    ['key', { keyId: 'other' }],
    ['model', { modelId: 'other' }],
    ['upstream model', { upstreamModelId: 'other' }],
    ['tools', { tools: [] }],
  ])('is another one with another %s', (_, change) => {
    const messages = messagesOf(user('Hi'));
    expect(hashOf(messages, { ...scope, ...change })).not.toBe(hashOf(messages));
  });

  it('tells apart whatever the upstream would be told otherwise', () => {
    const call = (name: string) => ({
      role: 'assistant',
      tool_calls: [{ id: 'a', function: { name, arguments: '{}' } }],
    });
    const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: 'x' });
    const refused = (refusal: string) => ({ ...assistant(null), refusal });
    const variants = [
      [user('a')],
      [user('a ')],
      [user('a\n')],
      [{ ...user('a'), name: 'Ann' }],
      [{ role: 'system', content: 'a' }],
      [user('a'), user('')],
      [user(''), user('a')],
      [user('a\n["user",null,null,[]]\nb')],
      [user('a'), user('b')],
      [call('f'), result('a')],
      [call('g'), result('a')],
      [call('f'), result('b')],
      [user('a'), refused('I will not'), user('b')],
      [user('a'), refused('I can not'), user('b')],
      [user('a'), assistant(''), user('b')],
    ];
    const hashes = variants.map((messages) => hashOf(messagesOf(...messages)));
    expect(new Set(hashes).size).toBe(variants.length);
  });

  it('is the same only for the same turns', () => {
    const turn = fc.record({
      role: fc.constantFrom('user' as const, 'system' as const),
      content: fc.string({ unit: fc.constantFrom('a', '\n', ' ', '"', ']', '<') }),
    });
    const turns = fc.array(turn, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(turns, turns, (left, right) => {
        const isSame = JSON.stringify(left) === JSON.stringify(right);
        expect(hashOf(messagesOf(...left)) === hashOf(messagesOf(...right))).toBe(isSame);
      }),
    );
  });
});

describe('where a conversation may be continued', () => {
  it('is after each reply that something follows, the last first', () => {
    const messages = messagesOf(user('1'), assistant('2'), user('3'), assistant('4'), user('5'));
    expect(threadOf(scope, messages).prefixes.map(({ length }) => length)).toEqual([4, 2]);
  });

  it('is nowhere before the first reply, and not after one that stays open', () => {
    expect(threadOf(scope, messagesOf(user('1'), user('2'))).prefixes).toEqual([]);
    const open = threadOf(scope, messagesOf(user('1'), assistant('The answer is')));
    expect(open).toEqual({ prefixes: [], hash: null });
  });
});
