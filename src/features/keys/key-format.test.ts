import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyPrefix, parseLife, presentedKey, toApiKey } from '@/features/keys/key-format';

describe('toApiKey', () => {
  it('is sk- and 43 base62 characters', () => {
    for (let count = 0; count < 100; count++) {
      expect(toApiKey(randomBytes(128))).toMatch(/^sk-[0-9A-Za-z]{43}$/);
    }
  });

  it('leaves out bytes that would make some characters likelier', () => {
    const bytes = new Uint8Array(128).fill(255);
    bytes.fill(61, 64);
    expect(toApiKey(bytes)).toBe(`sk-${'z'.repeat(43)}`);
    expect(() => toApiKey(new Uint8Array(128).fill(255))).toThrow('too few');
  });

  it('is told apart by its first characters', () => {
    expect(keyPrefix('sk-abcdefgh')).toBe('sk-abcd');
  });
});

describe('parseLife', () => {
  it.each([
    ['30d', 30 * 86_400_000],
    ['12h', 12 * 3_600_000],
    ['45m', 45 * 60_000],
  ])('reads %s', (text, ms) => {
    expect(parseLife(text)).toBe(ms);
  });

  it.each(['', '30', 'd', '0d', '-1d', '1.5d', '30 d', '30w'])('refuses %j', (text) => {
    expect(parseLife(text)).toBeNull();
  });
});

describe('presentedKey', () => {
  const from = (headers: Record<string, string>) => presentedKey(new Headers(headers));

  it('reads a bearer token, whatever the case of the scheme', () => {
    expect(from({ authorization: 'Bearer sk-1' })).toBe('sk-1');
    expect(from({ authorization: 'bEARER  sk-1' })).toBe('sk-1');
  });

  it.each(['x-api-key', 'x-api-token', 'x-goog-api-key'])('reads %s', (name) => {
    expect(from({ [name]: 'sk-1' })).toBe('sk-1');
  });

  it('takes nothing else where there is an Authorization', () => {
    expect(from({ authorization: 'Basic c2stMQ==', 'x-api-key': 'sk-1' })).toBeNull();
    expect(from({ authorization: 'Bearer ', 'x-api-key': 'sk-1' })).toBeNull();
    expect(from({})).toBeNull();
  });
});
