import { stat } from 'node:fs/promises';
import { allowsRange, byteRange, contentRange, matchesEtag } from '@/api/byte-range';
import { type ByteRange, FileBody } from '@/api/file-body';
import {
  type Endpoint,
  jsonReply,
  type PipedBody,
  pathOf,
  queryOf,
  type Reply,
  toResponse,
} from '@/api/reply';
import { StreamBody } from '@/api/stream-body';
import { findMedia, type Media, type MediaKind } from '@/features/media/media';
import { openMedia } from '@/features/media/open-media';
import { thumbnailOf } from '@/features/media/thumbnail';
import { requestId as newRequestId } from '@/openai/ids';
import { type AppError, isAppError } from '@/platform/errors';
import { log } from '@/platform/log';

const METHODS = 'GET, HEAD, OPTIONS';
const EXPOSED = 'x-request-id, content-length, content-range, accept-ranges, etag';

/** `GET /image/{name}`, without a key (contract 8.1); with `?thumbnail` a small WebP of it. */
export const image = mediaEndpoint('image');

/** `GET /video/{name}`, without a key. */
export const video = mediaEndpoint('video');

function mediaEndpoint(kind: MediaKind): Endpoint {
  return async (request) => {
    const requestId = newRequestId();
    const { status, headers, body } = await answer(kind, request, requestId);
    const common = {
      'x-request-id': requestId,
      'access-control-allow-origin': '*',
      'access-control-expose-headers': EXPOSED,
      'x-content-type-options': 'nosniff',
    };
    const reply = { status, headers: { ...common, ...headers }, body };
    return toResponse(reply, request.method === 'HEAD');
  };
}

async function answer(kind: MediaKind, request: Request, requestId: string): Promise<Reply> {
  const { method } = request;
  if (method === 'OPTIONS') return preflight(request);
  if (method !== 'GET' && method !== 'HEAD') {
    return failure(405, 'method not allowed', { allow: METHODS });
  }
  try {
    const media = await findMedia(kind, pathOf(request).slice(`/${kind}/`.length));
    if (!media) return failure(404, 'not found');
    const isSmall = queryOf(request).has('thumbnail');
    return await contentReply(request, await (isSmall ? smallOf(media) : wholeOf(media)), {
      // What is at an address never changes.
      cacheControl: 'public, max-age=31536000, immutable',
      onEnd(_, broken) {
        if (broken && broken.code !== 'client_left') tellFailure(requestId, broken);
      },
    });
  } catch (error) {
    if (isAppError(error) && error.code === 'not_found') return failure(404, 'not found');
    tellFailure(requestId, error);
    return failure(isAppError(error) && error.code.startsWith('upstream_') ? 502 : 500, 'failed');
  }
}

function preflight(request: Request): Reply {
  const asked = request.headers.get('access-control-request-headers');
  const headers = {
    allow: METHODS,
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': asked ?? 'range, if-range',
    'access-control-max-age': '7200',
    vary: 'Access-Control-Request-Headers',
  };
  return { status: 204, headers, body: null };
}

function failure(status: number, word: string, headers: Record<string, string> = {}): Reply {
  return jsonReply(status, { status: word }, { 'cache-control': 'no-store', ...headers });
}

function tellFailure(requestId: string, error: unknown): void {
  log().error({ requestId, err: error }, 'medium could not be served');
}

/** The answer is over, with this status; `broken` tells why not all of it was given. */
type OnEnd = (status: number, broken: AppError | null) => void;

/**
 * A medium, or of it what the request's conditions and range leave, for a caller with a key.
 * @param onEnd called once, unless this throws
 * @throws AppError as `openMedia`
 */
export async function mediaReply(request: Request, media: Media, onEnd: OnEnd): Promise<Reply> {
  const reply = await contentReply(request, await wholeOf(media), {
    cacheControl: 'private, max-age=31536000, immutable',
    onEnd,
  });
  return { ...reply, headers: { ...reply.headers, 'x-content-type-options': 'nosniff' } };
}

/** What may be sent, whole or in part. */
interface Content {
  bytes: number;
  mimeType: string;
  /** Strong, in its quotes. */
  etag: string;
  body(range: ByteRange, onEnd: (broken: AppError | null) => void): PipedBody | Promise<PipedBody>;
  /** Lets go of it. */
  close(): void;
}

async function wholeOf(media: Media): Promise<Content> {
  const opened = await openMedia(media);
  return {
    bytes: opened.bytes,
    mimeType: media.mimeType,
    etag: `"${media.name}"`,
    body: async (range, onEnd) =>
      opened.from === 'disk'
        ? new FileBody(opened.path, range, onEnd)
        : new StreamBody(await opened.read(range), onEnd),
    close: opened.close,
  };
}

async function smallOf(media: Media): Promise<Content> {
  const path = await thumbnailOf(media);
  const { size } = await stat(/*turbopackIgnore: true*/ path);
  return {
    bytes: size,
    mimeType: 'image/webp',
    etag: `"${media.name}-thumbnail"`,
    body: (range, onEnd) => new FileBody(path, range, onEnd),
    close() {},
  };
}

/** The content, or of it what conditions and range leave (RFC 9110, 13 and 14). */
async function contentReply(
  request: Request,
  content: Content,
  { cacheControl, onEnd }: { cacheControl: string; onEnd: OnEnd },
): Promise<Reply> {
  const { bytes, mimeType, etag } = content;
  const headers = {
    etag,
    'cache-control': cacheControl,
    'accept-ranges': 'bytes',
    // What was generated must not run in our origin, whatever a browser takes it for. A browser shows a
    // video in a page of its own making, which loads it from this address.
    'content-security-policy': "default-src 'none'; media-src 'self'; sandbox",
    'cross-origin-resource-policy': 'cross-origin',
  };
  const end = (status: number, broken: AppError | null) => {
    content.close();
    onEnd(status, broken);
  };
  const bare = (status: number, more: Record<string, string>): Reply => {
    end(status, null);
    return { status, headers: { ...headers, ...more }, body: null };
  };
  if (matchesEtag(request.headers.get('if-none-match'), etag)) return bare(304, {});
  const range = askedRange(request, content);
  if (range === 'unsatisfiable') {
    const nothing = { 'content-range': contentRange(null, bytes), 'content-length': '0' };
    return bare(416, { ...nothing, 'cache-control': 'no-store' });
  }
  const sent = range ?? { start: 0, end: bytes - 1 };
  const status = range ? 206 : 200;
  const described = {
    'content-type': mimeType,
    'content-length': String(sent.end - sent.start + 1),
    'content-disposition': 'inline',
    ...(range && { 'content-range': contentRange(range, bytes) }),
  };
  if (request.method === 'HEAD') return bare(status, described);
  try {
    const body = await content.body(sent, (broken) => end(status, broken));
    return { status, headers: { ...headers, ...described }, body };
  } catch (error) {
    content.close();
    throw error;
  }
}

/** A range has a meaning for GET alone. */
function askedRange(request: Request, { bytes, etag }: Content) {
  if (request.method !== 'GET' || !allowsRange(request.headers.get('if-range'), etag)) return null;
  return byteRange(request.headers.get('range'), bytes);
}
