import { once } from 'node:events';
import net from 'node:net';

/** Below the range that systems take the ports of outgoing connections from. */
const LOWEST = 20_000;
const HIGHEST = 30_000;

/** A port of the loopback address that is free now, for a server that wants to be told one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
