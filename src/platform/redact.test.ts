import { describe, expect, it } from 'vitest';
import { redact } from '@/platform/redact';

describe('redact', () => {
  it.each([
    ['a cookie header', '__Secure-C_SES=CSE.Abc-1; __Host-C_OSES=COS.x/y==', /Abc|x\/y/],
    ['a bare cookie value', '{"v":"CSE.Abcdefg"}', /Abcdefg/],
    ['an API key', 'key sk-0123456789abcdefghijABCDEFGHIJ0123456789abc!', /0123456789/],
    ['a bearer', 'Authorization: Bearer some-token"', /some-token/],
    ['a JWT', 'eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ4In0.sig-nature', /eyJ|sig-nature/],
    ['a proxy password', 'socks5://user:pa%20ss@127.0.0.1:1080', /pa%20ss/],
  ])('takes %s out', (_, text, secret) => {
    expect(redact(text)).not.toMatch(secret);
  });

  it.each(['eyJ-', 'eyJaaaaaaaaa.', '//a:', 'Bearer ', 'CSE.', 'sk-'])(
    'is done with a megabyte of %j',
    (hostile) => {
      expect(redact(hostile.repeat(1_000_000 / hostile.length)).length).toBeGreaterThan(0);
    },
  );

  it('leaves other text alone', () => {
    const text = 'GET http://127.0.0.1:8000/v1/models took 3 ms; risk-free; CSE';
    expect(redact(text)).toBe(text);
  });
});
