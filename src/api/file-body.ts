import { createReadStream } from 'node:fs';
import { pipeline, type Writable } from 'node:stream';
import type { PipedBody } from '@/api/reply';
import { AppError } from '@/platform/errors';

/** Which bytes of a file, both ends included, as in Content-Range; none if `end` is below `start`. */
export interface ByteRange {
  start: number;
  end: number;
}

/** A caller that takes nothing for so long has gone, whatever its connection says. */
export const UNREAD_MS = 600_000;

/**
 * A file, or a part of it, that goes to the connection piece by piece. `onEnd` is called once: with
 * null when all was given, else with `client_left`, or `internal` if the file can't be read or is
 * shorter than promised; the connection is then closed, so that the caller sees it.
 */
export class FileBody implements PipedBody {
  readonly #path: string;
  readonly #range: ByteRange;
  readonly #onEnd: (failure: AppError | null) => void;
  #to: Writable | null = null;
  #fault: AppError | null = null;
  #isOver = false;

  constructor(path: string, range: ByteRange, onEnd: (failure: AppError | null) => void) {
    this.#path = path;
    this.#range = range;
    this.#onEnd = onEnd;
  }

  pipe(to: Writable): void {
    this.#to = to;
    pipeline(
      () => this.#pieces(to),
      to,
      (error) => this.#end(error ? (this.#fault ?? left(error)) : null),
    );
  }

  destroy(): void {
    if (this.#to) this.#to.destroy();
    else this.#end(left());
  }

  async *#pieces(to: Writable): AsyncGenerator<Buffer, void, undefined> {
    const { start, end } = this.#range;
    let restBytes = Math.max(0, end - start + 1);
    if (restBytes === 0) return;
    const unread = setTimeout(() => to.destroy(), UNREAD_MS);
    try {
      const file = createReadStream(/*turbopackIgnore: true*/ this.#path, { start, end });
      for await (const piece of file as AsyncIterable<Buffer>) {
        restBytes -= piece.length;
        yield piece;
        unread.refresh();
      }
      if (restBytes > 0) throw new Error(`the file is ${restBytes} bytes too short`);
    } catch (error) {
      this.#fault = new AppError('internal', 'The file could not be read.', { cause: error });
      throw this.#fault;
    } finally {
      clearTimeout(unread);
    }
  }

  #end(failure: AppError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd(failure);
  }
}

function left(cause?: unknown): AppError {
  return new AppError('client_left', 'The client closed the connection.', { cause });
}
