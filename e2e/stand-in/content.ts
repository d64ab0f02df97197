import { createHash } from 'node:crypto';
import { setImmediate as nextTick } from 'node:timers/promises';

/** What a file holds. A large one is never in memory: it is made again whenever it is read. */
export interface Content {
  bytes: number;
  /** The same bytes at every call, in pieces of any size. */
  pieces(): Iterable<Buffer>;
}

/** Content that is held in memory. */
export function contentOf(bytes: Buffer): Content {
  return { bytes: bytes.length, pieces: () => [bytes] };
}

/** The SHA-256 of the whole, in hex. Lets other work run in between. */
export async function sha256Of(content: Content): Promise<string> {
  const hash = createHash('sha256');
  let untilRest = 0;
  for (const piece of content.pieces()) {
    hash.update(piece);
    untilRest += piece.length;
    if (untilRest < 1_000_000) continue;
    untilRest = 0;
    await nextTick();
  }
  return hash.digest('hex');
}

/** The pieces as base64, as if the whole were encoded at once. */
export function* base64Pieces(pieces: Iterable<Buffer>): Generator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % 3);
    rest = bytes.subarray(whole);
    yield Buffer.from(bytes.toString('base64', 0, whole));
  }
  if (rest.length > 0) yield Buffer.from(rest.toString('base64'));
}

/** The length of that many bytes in base64. */
export function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

/** Cuts the pieces so that none is longer than `maxBytes`. */
export function* inSlices(pieces: Iterable<Buffer>, maxBytes: number): Generator<Buffer> {
  for (const piece of pieces) {
    for (let start = 0; start < piece.length; start += maxBytes) {
      yield piece.subarray(start, start + maxBytes);
    }
  }
}
