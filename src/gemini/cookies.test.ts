import { describe, expect, it } from 'vitest';
import { applySetCookies } from './cookies';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const DAY_MS = 86_400_000;
const known = { secureCSes: 'CSE.old', hostCOses: 'COS.old' };

const expiryOf = (attributes: string) =>
  applySetCookies(known, [`__Secure-C_SES=CSE.new${attributes}`], NOW).expiresAtMs;

describe('applySetCookies', () => {
  it('takes new values and says that something changed', () => {
    const update = applySetCookies(known, ['__Host-C_OSES=COS.new; Path=/'], NOW);
    expect(update.cookies).toEqual({ secureCSes: 'CSE.old', hostCOses: 'COS.new' });
    expect(update.changed).toBe(true);
  });

  it('reads the end of the sign-in, Max-Age before Expires', () => {
    expect(expiryOf('; Max-Age=3600')).toBe(NOW + 3_600_000);
    expect(expiryOf('; Expires=Thu, 26 Nov 2026 12:00:00 GMT')).toBe(NOW + DAY_MS);
    expect(expiryOf('; Expires=Thu, 26 Nov 2026 12:00:00 GMT; Max-Age=60')).toBe(NOW + 60_000);
  });

  it('believes no end that is none, or beyond what a browser keeps', () => {
    expect(expiryOf('')).toBeNull();
    expect(expiryOf('; Max-Age=soon')).toBeNull();
    expect(expiryOf('; Max-Age=99999999999999')).toBe(NOW + 400 * DAY_MS);
    expect(new Date(expiryOf('; Max-Age=99999999999999') ?? 0).toISOString()).toContain('2027');
  });
});
