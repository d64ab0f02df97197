import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { base64Length, decodeBase64, encodeBase64, mediumInBase64 } from './base64-stream';

async function* piecesOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece;
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** `bytes` cut at the places that `cuts` names. */
function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((at) => at % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

const decodeText = (...pieces: string[]) =>
  collect(decodeBase64(piecesOf(pieces.map((piece) => Buffer.from(piece)))));

describe('streams of base64', () => {
  const cuts = fc.array(fc.nat(200), { maxLength: 5 });

  test('are what Node makes of the whole, and back, wherever they are cut', () =>
    fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 100 }),
        cuts,
        cuts,
        async (bytes, first, second) => {
          const text = await collect(encodeBase64(piecesOf(cut(bytes, first))));
          expect(text.toString()).toBe(Buffer.from(bytes).toString('base64'));
          expect(text.length).toBe(base64Length(bytes.length));
          const back = await collect(decodeBase64(piecesOf(cut(text, second))));
          expect(back.equals(bytes)).toBe(true);
        },
      ),
    ));

  test('hold no more than a step of a huge piece', async () => {
    const huge = Buffer.alloc(1_000_001, 'xyz');
    const steps: string[] = [];
    for await (const piece of encodeBase64(piecesOf([huge]))) steps.push(piece.toString());
    expect(Math.max(...steps.map((step) => step.length))).toBe(64 * 1024);
    expect(steps.join('')).toBe(huge.toString('base64'));
  });

  test.each([
    [['aGVs\r\nbG8', '=\n'], 'hello'],
    [['aGVsbG8'], 'hello'],
    [['_-', '8='], '\xff\xef'],
    [[' \n'], ''],
  ])('%j may have blanks, no padding, the other alphabet', async (pieces, expected) => {
    expect((await decodeText(...pieces)).toString('latin1')).toBe(expected);
  });

  test.each([[['aGVs!G8=']], [['aG==', 'aGVs']], [['a===']], [['aGVsb']], [['aGVs=']]])(
    '%j is none',
    async (pieces) => {
      await expect(decodeText(...pieces)).rejects.toMatchObject({
        fault: 'upstream',
        reason: 'malformed',
      });
    },
  );
});

describe('a medium in base64', () => {
  const beginnings: [string, Buffer][] = [
    ['image/png', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
    ['image/jpeg', Buffer.from('ffd8ffe000104a46494600010100', 'hex')],
    ['image/gif', Buffer.from('GIF89aABCDEFGHIJ')],
    ['image/webp', Buffer.from('RIFFABCDWEBPVP8 ')],
    ['video/mp4', Buffer.from('000000186674797069736f6d00000200', 'hex')],
    ['video/webm', Buffer.from('1a45dfa3010000000000001f4286', 'hex')],
  ];

  test.each(beginnings)(
    'is told by how %s begins, and the bytes themselves are not',
    (type, bytes) => {
      expect(mediumInBase64(Buffer.from(bytes.toString('base64')))).toBe(type);
      expect(mediumInBase64(bytes)).toBeNull();
    },
  );

  test.each(['', 'iVBOR', 'AAAAAAAAAAAAAAAA', 'Hello, world, dear'])('is not %j', (text) => {
    expect(mediumInBase64(Buffer.from(text))).toBeNull();
  });
});
