import { GeminiError } from './errors';

/** Bytes that are encoded at once: a multiple of 3, so that no padding falls between two pieces. */
const stepBytes = 3 * 16 * 1024;

/** Length of the base64 of so many bytes. */
export function base64Length(bytes: number): number {
  return 4 * Math.ceil(bytes / 3);
}

/** Standard base64 of `content`, piece by piece, whatever the size of its pieces. */
export async function* encodeBase64(
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  let rest = Buffer.alloc(0);
  for await (const piece of content) {
    const bytes = rest.length === 0 ? asBuffer(piece) : Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % 3);
    for (let at = 0; at < whole; at += stepBytes) {
      yield encoded(bytes.subarray(at, Math.min(at + stepBytes, whole)));
    }
    rest = Buffer.from(bytes.subarray(whole));
  }
  if (rest.length > 0) yield encoded(rest);
}

/**
 * The bytes that a text of base64 means, piece by piece; both alphabets, with or without padding and
 * blanks.
 *
 * @throws GeminiError `upstream` with reason `malformed` for what is not base64
 */
export async function* decodeBase64(
  text: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  let rest = '';
  let isPadded = false;
  for await (const piece of text) {
    const characters = rest + asBuffer(piece).toString('latin1').replace(/\s+/g, '');
    if (characters === '') continue;
    if (isPadded || !/^[\w+/-]*={0,2}$/.test(characters)) throw malformed();
    const whole = characters.length - (characters.length % 4);
    rest = characters.slice(whole);
    isPadded = characters.slice(0, whole).endsWith('=');
    if (whole > 0) yield Buffer.from(characters.slice(0, whole), 'base64');
  }
  const last = rest.replace(/=+$/, '');
  if (rest.length === 1 || last.length === 1) throw malformed();
  if (last !== '') yield Buffer.from(last, 'base64');
}

/** How files of known media begin, in hexadecimal. */
const media: readonly { mimeType: string; start: RegExp }[] = [
  { mimeType: 'image/png', start: /^89504e470d0a1a0a/ },
  { mimeType: 'image/jpeg', start: /^ffd8ff/ },
  { mimeType: 'image/gif', start: /^47494638/ },
  { mimeType: 'image/webp', start: /^52494646.{8}57454250/ },
  { mimeType: 'video/mp4', start: /^000000.{2}66747970/ },
  { mimeType: 'video/webm', start: /^1a45dfa3/ },
];
const sniffedCharacters = 16;

/**
 * The type of the medium whose base64 text begins so; null if it is none, which holds for the bytes
 * of all these media themselves.
 */
export function mediumInBase64(start: Uint8Array): string | null {
  const text = asBuffer(start).toString('latin1', 0, sniffedCharacters);
  if (!/^[\w+/-]{16}$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64').toString('hex');
  return media.find((medium) => medium.start.test(bytes))?.mimeType ?? null;
}

function encoded(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('base64'), 'latin1');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(): GeminiError {
  return new GeminiError('upstream', 'The file is not the base64 that it was said to be', {
    reason: 'malformed',
  });
}
