const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const LENGTH = 43;
const PREFIX = 'sk-';

/** A new API key from 64 or more random bytes: `sk-` and 43 base62 characters (256 bits). */
export function toApiKey(randomBytes: Uint8Array): string {
  let text = PREFIX;
  for (const byte of randomBytes) {
    if (text.length === PREFIX.length + LENGTH) break;
    // 248 is the largest multiple of 62: beyond it some characters would be likelier than others.
    if (byte < 248) text += ALPHABET[byte % 62];
  }
  if (text.length < PREFIX.length + LENGTH) throw new Error('too few random bytes for an API key');
  return text;
}

/** What is kept of a key to tell it from others. */
export function keyPrefix(key: string): string {
  return key.slice(0, PREFIX.length + 4);
}

/**
 * Milliseconds of a life such as `30d`, `12h` or `45m`; null if `text` is no such thing.
 */
export function parseLife(text: string): number | null {
  const match = /^([1-9]\d{0,5})([mhd])$/.exec(text);
  if (!match) return null;
  const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 'm' | 'h' | 'd'];
  return Number(match[1]) * unitMs;
}

/** The token of `Authorization: Bearer`; null if there is none or another scheme. */
export function bearerToken(headers: Headers): string | null {
  return /^bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1] ?? null;
}

/**
 * The key that a request presents: `Authorization: Bearer`, else `x-api-key`, `x-api-token` or
 * `x-goog-api-key`; null if there is none or another scheme (contract 1.1).
 */
export function presentedKey(headers: Headers): string | null {
  if (headers.has('authorization')) return bearerToken(headers);
  return (
    headers.get('x-api-key') || headers.get('x-api-token') || headers.get('x-goog-api-key') || null
  );
}
