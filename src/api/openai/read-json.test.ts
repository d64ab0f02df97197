import { gzipSync } from 'node:zlib';
import { expect, it, vi } from 'vitest';
import { BodyShare } from '@/api/openai/body-budget';
import { readJson } from '@/api/openai/read-json';

const MAX_BYTES = 100;

function read(body: string | Uint8Array<ArrayBuffer>, encoding: string) {
  const headers = { 'content-encoding': encoding };
  const request = new Request('http://127.0.0.1/', { method: 'POST', body, headers });
  return readJson(request, MAX_BYTES, new BodyShare());
}

it.each(['', ' ', 'identity', 'Identity'])('takes a plain body as %j', async (encoding) => {
  expect(await read('{"a":1}', encoding)).toEqual({ a: 1 });
});

it.each(['gzip', 'GZIP', ' Gzip '])('takes a packed body as %j', async (encoding) => {
  expect(await read(gzipSync('{"a":1}'), encoding)).toEqual({ a: 1 });
});

it('refuses other encodings, and what is too large once it is unpacked', async () => {
  await expect(read('{}', 'br')).rejects.toMatchObject({ code: 'unsupported_encoding' });
  await expect(read('{}', 'gzip, br')).rejects.toMatchObject({ code: 'unsupported_encoding' });
  const large = gzipSync(JSON.stringify({ a: 'x'.repeat(MAX_BYTES) }));
  await expect(read(large, 'gzip')).rejects.toMatchObject({ code: 'payload_too_large' });
});

it('takes a large body piece by piece, announced or not', async () => {
  const text = JSON.stringify({ a: 'ü'.repeat(200_000) });
  for (const length of [String(Buffer.byteLength(text)), '']) {
    const headers = length === '' ? {} : { 'content-length': length };
    const request = new Request('http://127.0.0.1/', { method: 'POST', body: text, headers });
    expect(await readJson(request, 1_000_000, new BodyShare())).toEqual(JSON.parse(text));
  }
});

it.each([
  ['small', '10'],
  ['large', '1000000'],
  ['of unknown length', ''],
])('gives up a body, %s, that does not go on for a minute', async (_, length) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    let isCancelled = false;
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from('{"a":')),
      cancel() {
        isCancelled = true;
      },
    });
    const headers = length === '' ? {} : { 'content-length': length };
    const init = { method: 'POST', body, headers, duplex: 'half' } as RequestInit;
    const request = new Request('http://127.0.0.1/', init);
    const failed = expect(readJson(request, 2_000_000, new BodyShare())).rejects.toMatchObject({
      code: 'client_left',
    });
    await vi.advanceTimersByTimeAsync(61_000);
    await failed;
    expect(isCancelled).toBe(length !== '10');
  } finally {
    vi.useRealTimers();
  }
});
