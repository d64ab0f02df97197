import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Pool, startPool } from '../support/pool';

let pool: Pool;
beforeAll(async () => {
  pool = await startPool();
});
afterAll(() => pool.close());

/** How often the server has its database open. */
function openDatabases(): number {
  const folder = `/proc/${pool.server.pid}/fd`;
  const database = path.join(pool.server.dataDir, 'pool.db');
  return readdirSync(folder).filter((fd) => linkOf(path.join(folder, fd)) === database).length;
}

function linkOf(file: string): string | null {
  try {
    return readlinkSync(file);
  } catch {
    return null;
  }
}

/** The status of a request whose target is sent as it stands. */
function statusOf(target: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(new URL(pool.server.url).port), '127.0.0.1');
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${pool.key}\r\n\r\n`,
    );
    socket.once('data', (bytes) => {
      resolve(Number(bytes.toString().slice(9, 12)));
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

// Two clients in one process would lock each other out (design 7).
it.skipIf(!existsSync('/proc/self/fd'))(
  'the copies of our modules in both bundles share one database client',
  async () => {
    expect(await statusOf('/v1/models')).toBe(200);
    // What that leaves to be written opens the connection of the queue, within a second.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const before = openDatabases();
    expect(before).toBeGreaterThan(0);
    // Not the lane's spelling: Next tidies the path and takes its own route, in its own bundle.
    expect(await statusOf('/./v1/models')).toBe(200);
    expect(await statusOf('/./v1/models/gemini-enterprise')).toBe(200);
    expect(openDatabases()).toBe(before);
    expect(pool.server.output().match(/"path":"\/v1\/models"/g)).toHaveLength(2);
  },
);
