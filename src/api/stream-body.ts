import { pipeline, type Readable, type Writable } from 'node:stream';
import { UNREAD_MS } from '@/api/file-body';
import type { PipedBody } from '@/api/reply';
import { AppError } from '@/platform/errors';

/**
 * A body that comes from elsewhere. `onEnd` is called once: with null when all was given, else with
 * `client_left`, or `upstream_error` if it broke off; the connection is then closed, so that the
 * caller sees it.
 */
export class StreamBody implements PipedBody {
  readonly #stream: Readable;
  readonly #onEnd: (failure: AppError | null) => void;
  #isOver = false;

  constructor(stream: Readable, onEnd: (failure: AppError | null) => void) {
    // One that fails before it is read would end the process; the pipeline is told all the same.
    this.#stream = stream.on('error', () => {});
    this.#onEnd = onEnd;
  }

  pipe(to: Writable): void {
    const unread = setTimeout(() => to.destroy(), UNREAD_MS);
    pipeline(this.#stream, to, (error) => {
      clearTimeout(unread);
      if (!error) this.#end(null);
      else this.#end(error.code === 'ERR_STREAM_PREMATURE_CLOSE' ? left() : brokeOff(error));
    });
    this.#stream.on('data', () => unread.refresh());
  }

  destroy(): void {
    this.#stream.destroy();
    this.#end(left());
  }

  #end(failure: AppError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd(failure);
  }
}

function left(): AppError {
  return new AppError('client_left', 'The client closed the connection.');
}

function brokeOff(cause: unknown): AppError {
  return new AppError('upstream_error', 'The storage broke off.', { cause });
}
