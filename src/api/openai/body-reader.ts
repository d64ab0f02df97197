import type { ServerRequest } from 'srvx';
import { AppError, isAppError } from '@/platform/errors';

const DRAIN_FOR_MS = 10_000;

/** Who sends nothing for so long has gone, whatever the connection says. */
const SILENCE_MS = 60_000;

/**
 * The next piece of a body.
 * @throws AppError `client_left` if the body breaks off, or nothing comes for a minute
 */
export async function nextPiece(
  request: Request,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await inTime(reader.read());
  } catch (error) {
    // Whoever waits for the next piece waits no more.
    if (isAppError(error)) reader.cancel().catch(() => {});
    throw left(request, error);
  }
}

/**
 * All of a small body, which has to come within a minute.
 * @throws AppError `client_left` if it breaks off or does not come
 */
export async function wholeText(request: Request): Promise<string> {
  const incoming = (request as ServerRequest).runtime?.node?.req;
  // In our own lane the connection is cut, which fails the read: this is a hot path.
  const timer = incoming && setTimeout(() => incoming.destroy(), SILENCE_MS);
  try {
    return await (incoming ? request.text() : inTime(request.text()));
  } catch (error) {
    throw left(request, error);
  } finally {
    clearTimeout(timer);
  }
}

async function inTime<T>(coming: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new AppError('client_left', `The body did not go on for ${SILENCE_MS} ms.`));
    }, SILENCE_MS);
  });
  try {
    return await Promise.race([coming, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function left(request: Request, cause: unknown): AppError {
  if (isAppError(cause)) return cause;
  const message = request.signal.aborted ? 'The client left.' : 'The body broke off.';
  return new AppError('client_left', message, { cause });
}

/** Reads on for a moment: a connection closed with unread bytes is reset, and the error lost. */
export async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const until = Date.now() + DRAIN_FOR_MS;
  const late = setTimeout(() => reader.cancel().catch(() => {}), DRAIN_FOR_MS).unref();
  try {
    while (Date.now() < until && !(await reader.read()).done);
    await reader.cancel();
  } catch {
    // The sender left; there is nobody to tell.
  } finally {
    clearTimeout(late);
  }
}

/** The error for a body above the limit. */
export function tooLarge(maxBytes: number): AppError {
  return new AppError('payload_too_large', `The body is larger than ${maxBytes} bytes.`);
}

/** `content-encoding` in lower case; empty for a plain body. */
export function encodingOf(request: Request): string {
  const encoding = (request.headers.get('content-encoding') ?? '').trim().toLowerCase();
  return encoding === 'identity' ? '' : encoding;
}

/** What `content-length` says; not a number without it. */
export function lengthOf(request: Request): number {
  return Number(request.headers.get('content-length') ?? Number.NaN);
}
