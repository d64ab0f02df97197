import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
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
