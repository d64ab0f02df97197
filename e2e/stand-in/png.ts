import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Each byte is written as the difference to the pixel on its left, which makes a gradient small. */
const subFilter = 1;
const maxSide = 8192;
/** Length, name and checksum of a chunk. */
const frameBytes = 12;
/** By its small letters nobody needs it (PNG, 5.4). */
const unknownChunk = 'paDd';

/**
 * A picture with a gradient, RGB of 8 bits; another one for every seed. It is brought to `bytes` by a
 * chunk that nobody knows, and is never shorter than without.
 */
export function makePng(seed: string, width: number, height: number, bytes = 0): Buffer {
  const [columns, rows] = [sideOf(width), sideOf(height)];
  const header = Buffer.alloc(13);
  header.writeUInt32BE(columns, 0);
  header.writeUInt32BE(rows, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const opening = Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('tEXt', Buffer.from(`Comment\0stand-in ${seed}`, 'latin1')),
    chunk('IDAT', deflateSync(scanLines(seed, columns, rows))),
  ]);
  const ending = chunk('IEND', Buffer.alloc(0));
  const padding = Math.trunc(bytes) - opening.length - ending.length - frameBytes;
  return Buffer.concat([
    opening,
    ...(padding > 0 ? [chunk(unknownChunk, Buffer.alloc(padding, seed))] : []),
    ending,
  ]);
}

function sideOf(side: number): number {
  return Math.min(maxSide, Math.max(1, Math.trunc(side)));
}

function scanLines(seed: string, width: number, height: number): Buffer {
  const colour = createHash('sha256').update(seed).digest();
  const [red = 0, green = 0, blue = 0] = colour;
  const lineBytes = 1 + width * 3;
  const lines = Buffer.alloc(lineBytes * height);
  for (let y = 0; y < height; y += 1) {
    const down = Math.floor((y * 256) / height);
    let at = y * lineBytes;
    let before = [0, 0, 0];
    lines[at++] = subFilter;
    for (let x = 0; x < width; x += 1) {
      const across = Math.floor((x * 256) / width);
      const pixel = [red + across, green + down, blue + ((across + down) >> 1)];
      for (const [index, value] of pixel.entries()) {
        lines[at++] = (value - (before[index] ?? 0)) & 0xff;
      }
      before = pixel;
    }
  }
  return lines;
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(data.length + frameBytes);
  frame.writeUInt32BE(data.length, 0);
  frame.set(named, 4);
  frame.writeUInt32BE(crc32(named), named.length + 4);
  return frame;
}
