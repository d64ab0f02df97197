import type { Socket } from 'node:net';
import { Agent, buildConnector } from 'undici';

/**
 * undici 7 ends the process, by an assertion that nobody can catch, when an upstream that does not
 * keep its connection closes it while the reader of the reply has it wait (nodejs/undici#5360). It is
 * mended in version 8, which needs Node 22: until then we do what it lacks, on what it keeps at the
 * socket. Goes with it.
 */

/** How an agent connects. */
export type Connect = NonNullable<Agent.Options['connect']>;

/** undici's parser of replies, as far as it is needed. */
interface Parser {
  paused: boolean;
  shouldKeepAlive: boolean;
  ptr: number | null;
  llhttp: { llhttp_resume(ptr: number): void };
  resume(): void;
}

/** An agent of undici, whose connections may end while they are paused. All of this server are made here. */
export function newAgent(connect: Connect, options: Omit<Agent.Options, 'connect'> = {}): Agent {
  return new Agent({ ...options, connect: survivingPausedEnd(connect) });
}

function survivingPausedEnd(connect: Connect): buildConnector.connector {
  const connector = typeof connect === 'function' ? connect : buildConnector(connect);
  return (options, callback) =>
    connector(options, (...[error, socket]: Parameters<buildConnector.Callback>) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      // Before undici's own, which come with the callback.
      socket.once('end', endPaused).once('error', failPaused).once('close', failPaused);
      callback(null, socket);
    });
}

/** All bytes are read already, or there would be no end: so the reply may be over. */
function endPaused(this: Socket): void {
  const parser = parserOf(this);
  if (!parser?.paused) return;
  parser.resume();
  // Without a length it was the end itself that was lacking, and the reader makes it wait for that.
  if (!parser.paused || parser.ptr === null) return;
  parser.llhttp.llhttp_resume(parser.ptr);
  parser.paused = false;
}

/** What was not read yet is lost: the reply fails, as that of any connection that broke. */
function failPaused(this: Socket): void {
  const parser = parserOf(this);
  if (parser?.paused) parser.shouldKeepAlive = true;
}

function parserOf(socket: Socket): Parser | null {
  const key = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'parser',
  );
  return key ? ((socket as unknown as Record<symbol, Parser | null>)[key] ?? null) : null;
}
