import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { BodyShare } from '@/api/openai/body-budget';
import { AppError } from '@/platform/errors';

const unzip = promisify(gunzip);
const DRAIN_FOR_MS = 10_000;
const MAX_GZIP_RATIO = 1_032;

/**
 * The JSON object in the body of `request`. `maxBytes` counts unpacked bytes; `share` gets them.
 * @throws AppError `rate_limited`, `invalid_request`, `payload_too_large`, `unsupported_encoding`, or `client_left`
 *   if the body broke off
 */
export async function readJson(
  request: Request,
  maxBytes: number,
  share: BodyShare,
): Promise<object> {
  const encoding = (request.headers.get('content-encoding') ?? '').trim().toLowerCase();
  const length = Number(request.headers.get('content-length') ?? Number.NaN);
  if (length > maxBytes) throw tooLarge(maxBytes);
  if (length >= 0) share.hold(length);
  let text: string;
  if (encoding === '' || encoding === 'identity') {
    // Node itself holds a body to its Content-Length.
    text =
      length >= 0
        ? await leftOr(request, () => request.text())
        : toText(await readAll(request, maxBytes, share));
  } else if (encoding === 'gzip') {
    const packed = await readAll(request, maxBytes, share);
    text = toText(await unpack(packed, maxBytes, share));
  } else {
    throw new AppError(
      'unsupported_encoding',
      'Send the body plain or with Content-Encoding: gzip.',
    );
  }
  return parseObject(text.replace(/^\ufeff/, ''));
}

function parseObject(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError(
      'invalid_request',
      text === '' ? 'The body is empty.' : 'The body is not valid JSON.',
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AppError('invalid_request', 'The body must be a JSON object.');
  }
  return value;
}

async function readAll(request: Request, maxBytes: number, share: BodyShare): Promise<Uint8Array> {
  if (!request.body) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await leftOr(request, () => reader.read());
    if (done) return Buffer.concat(chunks);
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      void discard(reader);
      throw tooLarge(maxBytes);
    }
    share.hold(bytes);
    chunks.push(value);
  }
}

/** Reads on for a moment: a connection closed with unread bytes is reset, and the 413 lost. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const until = Date.now() + DRAIN_FOR_MS;
  try {
    while (Date.now() < until && !(await reader.read()).done);
    await reader.cancel();
  } catch {
    // The sender left; there is nobody to tell.
  }
}

async function unpack(packed: Uint8Array, maxBytes: number, share: BodyShare): Promise<Uint8Array> {
  // How large it gets, nobody knows before: at most so much (gzip packs to a thousandth at best).
  share.hold(Math.min(maxBytes, packed.byteLength * MAX_GZIP_RATIO));
  try {
    const unpacked = await unzip(packed, { maxOutputLength: maxBytes });
    share.hold(unpacked.byteLength);
    return unpacked;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw new AppError('invalid_request', 'The body is not valid gzip.', { cause: error });
  }
}

async function leftOr<T>(request: Request, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const message = request.signal.aborted ? 'The client left.' : 'The body broke off.';
    throw new AppError('client_left', message, { cause: error });
  }
}

function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('payload_too_large', `The body is larger than ${maxBytes} bytes.`);
}
