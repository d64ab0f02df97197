import { describe, expect, test } from 'vitest';
import { ProxyError } from '@/platform/proxy-error';
import {
  classifyErrorObject,
  classifyNetworkError,
  classifyReply,
  type GeminiCall,
  GeminiError,
} from './errors';

const googleError = (code: number, status: string, message = '', reason?: string) =>
  JSON.stringify({
    error: { code, status, message, ...(reason && { details: [{ '@type': 'x' }, { reason }] }) },
  });

const row = (
  call: GeminiCall,
  status: number,
  bodyText: string,
  fault: string,
  reason: string | null,
) => ({ call, status, bodyText, fault, reason });

describe('replies', () => {
  test.each([
    row(
      'chat',
      400,
      googleError(400, 'INVALID_ARGUMENT', '', 'PROMPT_TOO_LARGE'),
      'request',
      'PROMPT_TOO_LARGE',
    ),
    row(
      'chat',
      400,
      googleError(400, 'INVALID_ARGUMENT', 'Unknown model: x'),
      'request',
      'UNKNOWN_MODEL',
    ),
    row(
      'chat',
      400,
      googleError(400, 'FAILED_PRECONDITION', 'agent'),
      'request',
      'FAILED_PRECONDITION',
    ),
    row('chat', 413, '<html>', 'request', 'PROMPT_TOO_LARGE'),
    row('session', 400, googleError(400, 'INVALID_ARGUMENT'), 'config', 'INVALID_ARGUMENT'),
    row(
      'chat',
      401,
      googleError(401, 'UNAUTHENTICATED', '', 'SESSION_COOKIE_INVALID'),
      'credential',
      'SESSION_COOKIE_INVALID',
    ),
    row('session', 401, googleError(401, 'UNAUTHENTICATED'), 'credential', 'UNAUTHENTICATED'),
    row(
      'key',
      401,
      `)]}'\n{"message":"Session has expired.","status":"EXPIRED_SIGN_IN"}`,
      'credential',
      'EXPIRED_SIGN_IN',
    ),
    row('key', 401, `)]}'{"status":"INVALID_COOKIES"}`, 'credential', 'INVALID_COOKIES'),
    row('key', 403, '', 'credential', null),
    row(
      'session',
      403,
      googleError(403, 'PERMISSION_DENIED', 'Access Restricted'),
      'blocked',
      'ACCESS_RESTRICTED',
    ),
    row('key', 403, '<h1>Access restricted</h1>', 'blocked', 'ACCESS_RESTRICTED'),
    row(
      'chat',
      403,
      googleError(403, 'PERMISSION_DENIED', 'Session is not owned by the provided user'),
      'state',
      'SESSION_NOT_OWNED',
    ),
    row(
      'chat',
      403,
      googleError(403, 'PERMISSION_DENIED', 'else'),
      'upstream',
      'PERMISSION_DENIED',
    ),
    row('chat', 404, googleError(404, 'NOT_FOUND', 'session'), 'state', 'NOT_FOUND'),
    row(
      'chat',
      404,
      googleError(404, 'NOT_FOUND', 'File with ID "9" not found'),
      'state',
      'FILE_NOT_FOUND',
    ),
    row(
      'chat',
      400,
      googleError(400, 'NOT_FOUND', 'File with ID "9" not found'),
      'state',
      'FILE_NOT_FOUND',
    ),
    row(
      'upload',
      400,
      googleError(400, 'INVALID_ARGUMENT', 'Unsupported file type: application/x-rar'),
      'request',
      'UNSUPPORTED_FILE_TYPE',
    ),
    row('upload', 400, googleError(400, 'INVALID_ARGUMENT'), 'request', 'INVALID_ARGUMENT'),
    row('upload', 413, '<html>', 'request', 'FILE_TOO_LARGE'),
    row('upload', 401, googleError(401, 'UNAUTHENTICATED'), 'credential', 'UNAUTHENTICATED'),
    row('upload', 404, googleError(404, 'NOT_FOUND'), 'state', 'NOT_FOUND'),
    row('upload', 429, '', 'overload', null),
    row('upload', 503, '', 'upstream', null),
    row('files', 404, googleError(404, 'NOT_FOUND'), 'upstream', 'NOT_FOUND'),
    row('download', 401, '', 'credential', null),
    row('download', 400, '', 'upstream', null),
    row('session', 404, '', 'upstream', null),
    row(
      'chat',
      429,
      googleError(429, 'RESOURCE_EXHAUSTED', 'x', 'LLM_OVERLOADED'),
      'overload',
      'LLM_OVERLOADED',
    ),
    row(
      'chat',
      429,
      googleError(429, 'RESOURCE_EXHAUSTED', 'x', 'QUOTA_EXCEEDED'),
      'quota',
      'QUOTA_EXCEEDED',
    ),
    row('chat', 429, googleError(429, 'RESOURCE_EXHAUSTED'), 'quota', 'RESOURCE_EXHAUSTED'),
    row('chat', 429, '<html>', 'quota', null),
    row('key', 429, '', 'overload', null),
    row('chat', 500, googleError(500, 'INTERNAL'), 'upstream', 'INTERNAL'),
    row('chat', 503, `[${googleError(503, 'UNAVAILABLE')}]`, 'upstream', 'UNAVAILABLE'),
    row('key', 502, 'Bad gateway', 'upstream', null),
    row('chat', 302, '', 'upstream', null),
    row('chat', 418, '[null, 3]', 'upstream', null),
  ])('$call $status $reason → $fault', ({ call, status, bodyText, fault, reason }) => {
    const error = classifyReply({ call, status, bodyText });
    expect(error).toMatchObject({ fault, reason, status });
  });

  test('reads Retry-After in seconds and as a date', () => {
    const waitMs = (retryAfter: string | undefined) =>
      classifyReply({ call: 'chat', status: 429, bodyText: '', retryAfter }).retryAfterMs;
    expect(waitMs('7')).toBe(7000);
    expect(waitMs(new Date(Date.now() + 60_000).toUTCString())).toBeGreaterThan(55_000);
    expect([waitMs('soon'), waitMs(''), waitMs(undefined)]).toEqual([null, null, null]);
  });

  test.each([
    ['0', 1_000],
    ['-5', 1_000],
    [new Date(0).toUTCString(), 1_000],
    ['86401', 86_400_000],
    ['99999999999999', 86_400_000],
    ['9'.repeat(400), 86_400_000],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000],
    ['Infinity', null],
    ['NaN', null],
    ['1e999', null],
  ])('a Retry-After of %s stays between a second and a day', (retryAfter, waitMs) => {
    const error = classifyReply({ call: 'chat', status: 429, bodyText: '', retryAfter });
    expect(error.retryAfterMs).toBe(waitMs);
  });

  test('keeps the message of the upstream, without what could be a secret in it', () => {
    const message =
      'bad cookie CSE.abc-123; COS.def token eyJhbGciOi.J9.x Bearer abcdef at https://u:p@host/x';
    const error = classifyReply({
      call: 'chat',
      status: 500,
      bodyText: googleError(500, 'INTERNAL', message),
    });
    expect(error.message).toContain('bad cookie ***');
    expect(error.message).not.toMatch(/abc|def|eyJ|u:p/);
  });
});

describe('error elements', () => {
  test('take the code, else the status word', () => {
    expect(classifyErrorObject({ code: 401 })).toMatchObject({ fault: 'credential', status: 401 });
    const worded = { status: 'RESOURCE_EXHAUSTED', message: 'x' };
    expect(classifyErrorObject(worded)).toMatchObject({ fault: 'quota', status: 429 });
  });

  test.each([[null], [7], ['x'], [{ code: '9', details: [null, { reason: 4 }], message: [] }]])(
    'of a hostile shape are the upstream: %j',
    (error) => {
      expect(classifyErrorObject(error)).toMatchObject({ fault: 'upstream', reason: null });
    },
  );
});

describe('network errors', () => {
  const withCode = (code: string, cause?: Error) =>
    Object.assign(new Error('boom', { cause }), { code });

  test.each([
    ['ECONNREFUSED', 'egress', 'ECONNREFUSED'],
    ['ENOTFOUND', 'egress', 'ENOTFOUND'],
    ['UND_ERR_CONNECT_TIMEOUT', 'egress', 'UND_ERR_CONNECT_TIMEOUT'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'egress', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'egress', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['ECONNRESET', 'upstream', 'connection_lost'],
    ['UND_ERR_SOCKET', 'upstream', 'connection_lost'],
    ['HPE_INVALID_CONSTANT', 'upstream', 'bad_http'],
    ['UND_ERR_HEADERS_TIMEOUT', 'upstream', 'timeout'],
    ['UND_ERR_BODY_TIMEOUT', 'upstream', 'timeout'],
    ['UND_ERR_INVALID_ARG', 'config', 'UND_ERR_INVALID_ARG'],
  ])('%s → %s', (code, fault, reason) => {
    expect(classifyNetworkError(withCode(code))).toMatchObject({ fault, reason });
  });

  test('looks through wrappers, and knows what a connection that never stood means', () => {
    const wrapped = new TypeError('fetch failed', { cause: withCode('ECONNREFUSED') });
    expect(classifyNetworkError(wrapped).fault).toBe('egress');
    expect(classifyNetworkError(withCode('ECONNRESET'), { connected: false }).fault).toBe('egress');
    const brokenTls = new Error('Client network socket disconnected before secure TLS connection');
    expect(classifyNetworkError(brokenTls).fault).toBe('egress');
  });

  test.each(['PROXY_UNREACHABLE', 'PROXY_AUTH', 'PROXY_NO_ROUTE'] as const)(
    '%s is the egress under that name',
    (reason) => {
      const error = new ProxyError(reason, 'what the operator reads');
      expect(classifyNetworkError(error)).toMatchObject({
        fault: 'egress',
        reason,
        message: 'what the operator reads',
      });
    },
  );

  test('an abort of the caller is nobody’s fault; a GeminiError stays itself', () => {
    expect(classifyNetworkError(new DOMException('x', 'AbortError')).fault).toBe('client_left');
    const own = new GeminiError('quota', 'x');
    expect(classifyNetworkError(own)).toBe(own);
  });

  test.each([[undefined], ['text'], [new Error('x')]])('never throws: %s', (error) => {
    expect(classifyNetworkError(error).fault).toBe('upstream');
  });
});
