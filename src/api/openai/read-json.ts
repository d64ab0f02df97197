import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { BodyShare } from '@/api/openai/body-budget';
import {
  discard,
  encodingOf,
  lengthOf,
  nextPiece,
  tooLarge,
  wholeText,
} from '@/api/openai/body-reader';
import { AppError } from '@/platform/errors';

const unzip = promisify(gunzip);
const MAX_GZIP_RATIO = 1_032;
/** A slow connection brings so much within a minute. */
const SMALL_BYTES = 262_144;

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
  const encoding = encodingOf(request);
  const length = lengthOf(request);
  if (length > maxBytes) throw tooLarge(maxBytes);
  if (length >= 0) share.hold(length);
  let text: string;
  if (encoding === '') {
    // Node itself holds a body to its Content-Length.
    const isSmall = length >= 0 && length <= SMALL_BYTES;
    text = isSmall ? await wholeText(request) : toText(await readAll(request, maxBytes, share));
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
  const announcedBytes = lengthOf(request) || 0;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await nextPiece(request, reader);
    if (done) return Buffer.concat(chunks);
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      void discard(reader);
      throw tooLarge(maxBytes);
    }
    share.hold(Math.max(bytes, announcedBytes));
    chunks.push(value);
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

function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
