import { expect, it } from 'vitest';
import {
  beginAttempt,
  endAttempt,
  endTrace,
  lastFault,
  newTrace,
  noteFirstByte,
} from '@/features/accounts/trace';
import { GeminiError } from '@/gemini/errors';

const account = { id: 'a', label: 'account-a' };

it('tells why each account was left, and which served', () => {
  const trace = newTrace('request');
  const options = { status: 429, reason: 'QUOTA_EXCEEDED'.repeat(10) };
  const refused = beginAttempt(trace, account);
  endAttempt(trace, refused, new GeminiError('quota', 'words of a conversation', options));
  const served = beginAttempt(trace, { id: 'b', label: 'account-b' });
  noteFirstByte(trace, served);
  endAttempt(trace, served, 'served');
  // Whoever ends the iteration tells so once more.
  endAttempt(trace, served, null);
  expect(trace.attempts).toMatchObject([
    { account, outcome: 'quota', status: 429, firstByteMs: null },
    { account: { id: 'b' }, outcome: 'served', status: null, reason: null, firstByteMs: 0 },
  ]);
  expect(refused.reason).toHaveLength(101);
  expect(JSON.stringify(trace)).not.toContain('words');
  expect(lastFault(trace)).toBe('quota');
});

it('takes a try that nobody has ended for one that the caller left', () => {
  const trace = newTrace('request');
  beginAttempt(trace, account);
  endTrace(trace);
  expect(trace.attempts).toMatchObject([{ outcome: 'client_left', isOver: true }]);
  expect(lastFault(trace)).toBe('client_left');
});

it('has no fault without tries, or when the first one served', () => {
  const trace = newTrace('request');
  expect(lastFault(trace)).toBeNull();
  endAttempt(trace, beginAttempt(trace, account), 'served');
  expect(lastFault(trace)).toBeNull();
});
