import { describe, expect, test } from 'vitest';
import { errorHeaders, statusOf, toErrorBody } from '@/openai/errors';
import { AppError, type AppErrorCode } from '@/platform/errors';

const caller = 'invalid_request_error';

/** The table of the contract, 1.4. */
const table: [AppErrorCode, number, string, string | null, string | null][] = [
  ['invalid_request', 400, caller, null, null],
  ['context_length_exceeded', 400, caller, 'context_length_exceeded', 'messages'],
  ['content_policy_violation', 400, caller, 'content_policy_violation', null],
  ['missing_api_key', 401, caller, null, null],
  ['invalid_api_key', 401, caller, 'invalid_api_key', null],
  ['model_not_allowed', 403, caller, 'model_not_allowed', 'model'],
  ['model_not_found', 404, caller, 'model_not_found', 'model'],
  ['unknown_url', 404, caller, 'unknown_url', null],
  ['not_found', 404, caller, null, null],
  ['method_not_allowed', 405, caller, null, null],
  ['conflict', 409, caller, null, null],
  ['payload_too_large', 413, caller, null, null],
  ['unsupported_encoding', 415, caller, null, null],
  ['rate_limited', 429, 'rate_limit_error', 'rate_limit_exceeded', null],
  ['client_left', 499, caller, 'client_left', null],
  ['internal', 500, 'server_error', null, null],
  ['upstream_error', 502, 'server_error', 'upstream_error', null],
  ['no_account_available', 503, 'server_error', 'no_account_available', null],
  ['server_shutting_down', 503, 'server_error', 'server_shutting_down', null],
  ['upstream_refused', 503, 'server_error', 'upstream_error', null],
  ['upstream_timeout', 504, 'server_error', 'upstream_timeout', null],
];

describe('every error', () => {
  test.each(table)('%s is %d', (code, status, type, word, param) => {
    const error = new AppError(code, 'What is wrong.');
    expect(statusOf(error)).toBe(status);
    expect(toErrorBody(error)).toEqual({
      error: { message: 'What is wrong.', type, param, code: word },
    });
  });
});

test('the path and the finer word of an invalid request', () => {
  const error = new AppError('invalid_request', 'No.', { param: 'n', detail: 'invalid_type' });
  expect(toErrorBody(error).error).toMatchObject({ param: 'n', code: 'invalid_type' });
});

test('the finer word changes no other code, and the cause is not told', () => {
  const cause = new Error('secret');
  const error = new AppError('upstream_error', 'Broken.', { detail: 'x', cause });
  expect(JSON.stringify(toErrorBody(error))).toBe(
    '{"error":{"message":"Broken.","type":"server_error","param":null,"code":"upstream_error"}}',
  );
});

test('half a character in a message does not reach the caller', () => {
  const error = new AppError('model_not_found', 'No model a\ud800.');
  expect(toErrorBody(error).error.message).toBe('No model a\ufffd.');
});

describe('headers', () => {
  test.each([
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [59_999.5, '60'],
  ])('%d ms are %s s', (retryAfterMs, seconds) => {
    const error = new AppError('rate_limited', 'Wait.', { retryAfterMs });
    expect(errorHeaders(error)).toEqual({ 'retry-after': seconds });
  });

  test('there is always a time to wait with 429 and at a stop', () => {
    expect(errorHeaders(new AppError('rate_limited', 'Wait.'))).toEqual({ 'retry-after': '1' });
    expect(errorHeaders(new AppError('server_shutting_down', 'Stop.'))).toEqual({
      'retry-after': '5',
    });
  });

  test('401 names the scheme', () => {
    for (const code of ['missing_api_key', 'invalid_api_key'] as const) {
      expect(errorHeaders(new AppError(code, 'No.'))).toEqual({ 'www-authenticate': 'Bearer' });
    }
  });

  test('others have none', () => {
    expect(errorHeaders(new AppError('internal', 'Broken.'))).toEqual({});
  });
});
