import { once } from 'node:events';
import type net from 'node:net';

/** The server's side of SOCKS5 (RFC 1928, 1929): only what a client needs to open a tunnel. */

const VERSION = 5;
const PASSWORD = 2;

const withAddress = (code: number) => Buffer.from([VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]);

/** What the client waits for: the tunnel stands. */
export const socksDone = withAddress(0);

/** Host unreachable. */
export const refusalOfTarget = withAddress(4);

/**
 * Greets a client, checks its credentials if there are `wanted` ones, and reads where to.
 * @returns `host:port`; null if it was turned away
 */
export async function acceptSocks(
  socket: net.Socket,
  wanted: { user: string; password: string } | null,
): Promise<string | null> {
  const methods = await takeCounted(socket, 1);
  const method = wanted ? PASSWORD : 0;
  if (!methods.includes(method)) {
    socket.end(Buffer.from([VERSION, 0xff]));
    return null;
  }
  socket.write(Buffer.from([VERSION, method]));
  if (wanted) {
    const user = (await takeCounted(socket, 1)).toString();
    const password = (await takeCounted(socket, 0)).toString();
    const isKnown = user === wanted.user && password === wanted.password;
    const verdict = Buffer.from([1, isKnown ? 0 : 1]);
    if (!isKnown) {
      socket.end(verdict);
      return null;
    }
    socket.write(verdict);
  }
  return takeTarget(socket);
}

async function takeTarget(socket: net.Socket): Promise<string> {
  const kind = (await take(socket, 4))[3];
  const host =
    kind === 3 ? (await takeCounted(socket, 0)).toString() : [...(await take(socket, 4))].join('.');
  const port = (await take(socket, 2)).readUInt16BE();
  return `${host}:${port}`;
}

/** Skips so many bytes; then a length, and as much. */
async function takeCounted(socket: net.Socket, skippedBytes: number): Promise<Buffer> {
  const length = (await take(socket, skippedBytes + 1))[skippedBytes] ?? 0;
  return length === 0 ? Buffer.alloc(0) : take(socket, length);
}

async function take(socket: net.Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const taken: Buffer | null = socket.read(bytes);
    if (taken?.length === bytes) return taken;
    if (taken !== null || socket.readableEnded) throw new Error('the client left');
    await once(socket, 'readable');
  }
}
