import { afterEach, expect, it, vi } from 'vitest';
import {
  beginAttempt,
  beginWait,
  endAttempt,
  endTrace,
  endWait,
  isBeingServed,
  lastFault,
  newTrace,
  noteFirstByte,
} from '@/features/accounts/trace';
import { GeminiError } from '@/gemini/errors';

afterEach(() => {
  vi.useRealTimers();
});

const account = { id: 'a', label: 'account-a' };

it('tells why each account was left, and which served', () => {
  vi.useFakeTimers();
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

it('adds up its waits, with the one under way when the call ends', () => {
  vi.useFakeTimers();
  const wait = (ms: number) => vi.advanceTimersByTime(ms);
  const trace = newTrace('request');
  beginWait(trace);
  wait(30);
  endWait(trace);
  wait(1_000);
  beginWait(trace);
  wait(200);
  endTrace(trace);
  expect(trace.queueMs).toBe(230);
  // The one who waited comes to know later.
  wait(50);
  endWait(trace);
  expect(trace.queueMs).toBe(230);
});

it('counts what several of its questions wait at the same time once', () => {
  vi.useFakeTimers();
  const trace = newTrace('request');
  beginWait(trace);
  vi.advanceTimersByTime(100);
  beginWait(trace);
  vi.advanceTimersByTime(100);
  endWait(trace);
  expect(trace.queueMs).toBe(0);
  vi.advanceTimersByTime(100);
  endWait(trace);
  expect(trace.queueMs).toBe(300);
  beginWait(trace);
  beginWait(trace);
  vi.advanceTimersByTime(50);
  endTrace(trace);
  expect(trace.queueMs).toBe(350);
});

it('is being served from the moment when an account is at work, unless that fails', () => {
  const trace = newTrace('request');
  expect(isBeingServed(trace)).toBe(false);
  const refused = beginAttempt(trace, account);
  expect(isBeingServed(trace)).toBe(true);
  endAttempt(trace, refused, new GeminiError('quota', 'none left'));
  expect(isBeingServed(trace)).toBe(false);
  endAttempt(trace, beginAttempt(trace, account), 'served');
  expect(isBeingServed(trace)).toBe(true);
});

it('has no fault without tries, or when the first one served', () => {
  const trace = newTrace('request');
  expect(lastFault(trace)).toBeNull();
  endAttempt(trace, beginAttempt(trace, account), 'served');
  expect(lastFault(trace)).toBeNull();
});
