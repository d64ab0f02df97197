import { readFileSync } from 'node:fs';
import type { Content } from './content';

type ClipType = 'mp4' | 'webm';

const pieceBytes = 64 * 1024;
const markBytes = 32;
const clips = new Map<ClipType, Buffer>();

interface VideoOptions {
  type: ClipType;
  bytes: number;
  /** The padding of an MP4 comes before its index, so that players must jump to the end first. */
  isIndexLast?: boolean;
}

/**
 * A clip of three seconds that browsers play, brought to `bytes` by padding that players skip;
 * another one for every seed. The padding is made while it is read. Never shorter than the clip.
 */
export function makeVideo(seed: string, { type, bytes, isIndexLast }: VideoOptions): Content {
  const clip = clipOf(type);
  const head = type === 'mp4' ? freeBoxHead : voidHead;
  const padding = Math.max(markBytes, Math.trunc(bytes) - clip.length - head(0).length);
  const place = type === 'mp4' && isIndexLast ? clip.lastIndexOf('moov') - 4 : clip.length;
  const opening = Buffer.concat([clip.subarray(0, place), head(padding)]);
  const ending = clip.subarray(place);
  return {
    bytes: opening.length + padding + ending.length,
    *pieces() {
      yield opening;
      yield* paddingOf(padding, seed);
      yield ending;
    },
  };
}

/** The clip as it is in the folder `media`. */
export function clipOf(type: ClipType): Buffer {
  const known = clips.get(type) ?? readFileSync(new URL(`media/clip.${type}`, import.meta.url));
  clips.set(type, known);
  return known;
}

/** Each piece begins with its number, so that pieces in a wrong order do not make the same sum. */
function* paddingOf(bytes: number, seed: string): Generator<Buffer> {
  const mark = Buffer.alloc(markBytes);
  mark.write(`stand-in ${seed}`);
  yield mark;
  for (let at = markBytes; at < bytes; at += pieceBytes) {
    const piece = Buffer.alloc(Math.min(pieceBytes, bytes - at));
    if (piece.length >= 8) piece.writeDoubleBE(at);
    yield piece;
  }
}

/** ISO 14496-12, 4.2: a box of 64-bit size; of type `free` players skip it. */
function freeBoxHead(bytes: number): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(1, 0);
  head.write('free', 4);
  head.writeBigUInt64BE(BigInt(bytes + head.length), 8);
  return head;
}

/** RFC 8794, 11.3.2: an element Void, its size in eight bytes. */
function voidHead(bytes: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeBigUInt64BE((1n << 56n) | BigInt(bytes), 1);
  head.writeUInt8(0xec, 0);
  return head;
}
