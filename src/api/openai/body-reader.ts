import { AppError } from '@/platform/errors';

const DRAIN_FOR_MS = 10_000;

/** Runs `read`; @throws AppError `client_left` if it fails */
export async function leftOr<T>(request: Request, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const message = request.signal.aborted ? 'The client left.' : 'The body broke off.';
    throw new AppError('client_left', message, { cause: error });
  }
}

/** Reads on for a moment: a connection closed with unread bytes is reset, and the error lost. */
export async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  const until = Date.now() + DRAIN_FOR_MS;
  try {
    while (Date.now() < until && !(await reader.read()).done);
    await reader.cancel();
  } catch {
    // The sender left; there is nobody to tell.
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
