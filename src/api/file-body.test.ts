import fs from 'node:fs';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { type ByteRange, FileBody } from '@/api/file-body';
import type { AppError } from '@/platform/errors';
import { newFolder } from '../../e2e/support/data-folder';

const content = Buffer.alloc(1_000_000, 'lorem ipsum ');
let file = '';

beforeAll(() => {
  file = path.join(newFolder('file-body'), 'file');
  fs.writeFileSync(file, content);
});

/** A body, and all with which its end was told. */
function bodyOf(range: ByteRange, source = file) {
  const ends: (AppError | null)[] = [];
  let settle = () => {};
  const over = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const body = new FileBody(source, range, (failure) => {
    ends.push(failure);
    settle();
  });
  return { body, ends, over };
}

async function expectEnd(ends: (AppError | null)[], code: string | null): Promise<void> {
  await sleep(20);
  expect(ends.map((failure) => failure?.code ?? null)).toEqual([code]);
}

it.each([
  [0, 999_999],
  [0, 0],
  [500_000, 999_999],
  [999_999, 999_999],
  [0, -1],
])('gives the bytes from %i to %i', async (start, end) => {
  const { body, ends, over } = bodyOf({ start, end });
  const to = new PassThrough();
  const read = buffer(to);
  body.pipe(to);
  expect((await read).equals(content.subarray(start, end + 1))).toBe(true);
  await over;
  body.destroy();
  await expectEnd(ends, null);
});

it('waits for a caller that takes its time', async () => {
  let open = 0;
  let most = 0;
  const to = new Writable({
    highWaterMark: 1,
    write(piece, _, done) {
      open += piece.length;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= piece.length;
        done();
      }, 1);
    },
  });
  const { body, ends, over } = bodyOf({ start: 0, end: 999_999 });
  body.pipe(to);
  await over;
  expect(most).toBeLessThanOrEqual(65_536);
  await expectEnd(ends, null);
});

it.each(['within it', 'before it begins'])('tells that the caller left %s', async (when) => {
  const to = new PassThrough();
  const { body, ends, over } = bodyOf({ start: 0, end: 999_999 });
  if (when === 'before it begins') to.destroy();
  body.pipe(to);
  await sleep(20);
  to.destroy();
  await over;
  await expectEnd(ends, 'client_left');
});

it('tells that it was not wanted', async () => {
  const unwanted = bodyOf({ start: 0, end: 999_999 });
  unwanted.body.destroy();
  unwanted.body.destroy();
  await expectEnd(unwanted.ends, 'client_left');
  const begun = bodyOf({ start: 0, end: 999_999 });
  begun.body.pipe(new PassThrough());
  begun.body.destroy();
  await begun.over;
  await expectEnd(begun.ends, 'client_left');
});

it.each([
  ['is gone', { start: 0, end: 9 }, 'no-such-file'],
  ['is shorter than promised', { start: 0, end: 1_000_000 }, ''],
])('closes the connection of a file that %s', async (_, range, name) => {
  const to = new PassThrough();
  to.on('error', () => {}).resume();
  const { body, ends, over } = bodyOf(range, name === '' ? file : path.join(file, '..', name));
  body.pipe(to);
  await over;
  expect(to.destroyed).toBe(true);
  await expectEnd(ends, 'internal');
});
