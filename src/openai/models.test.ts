import { expect, test } from 'vitest';
import { toModel, toModelList } from '@/openai/models';

const described = {
  id: 'gemini-2.5-pro',
  createdAtMs: 1_700_000_000_999,
  displayName: 'Gemini 2.5 Pro',
  description: 'Thinks.',
  contextLength: 32_768,
  maxTokens: 8192,
};
const bare = {
  ...described,
  id: 'b/c',
  displayName: null,
  description: null,
  contextLength: null,
  maxTokens: null,
};

test('a model with all that is known', () => {
  expect(toModel(described)).toEqual({
    id: 'gemini-2.5-pro',
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'google',
    display_name: 'Gemini 2.5 Pro',
    description: 'Thinks.',
    context_length: 32_768,
    max_tokens: 8192,
  });
});

test('what is unknown is left out', () => {
  const model = toModel(bare);
  expect(Object.keys(model)).toEqual(['id', 'object', 'created', 'owned_by']);
});

test('the list keeps the order and the very entries', () => {
  expect(toModelList([bare, described])).toEqual({
    object: 'list',
    data: [toModel(bare), toModel(described)],
  });
});
