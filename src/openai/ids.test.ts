import { expect, test } from 'vitest';
import { completionId, requestId } from '@/openai/ids';

test('ids have their form and are unique', () => {
  expect(completionId()).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
  expect(requestId()).toMatch(/^req_[0-9a-f]{32}$/);
  expect(new Set(Array.from({ length: 1000 }, completionId)).size).toBe(1000);
});
