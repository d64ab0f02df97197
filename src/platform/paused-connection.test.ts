import { once } from 'node:events';
import fs from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls, { type TLSSocket } from 'node:tls';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newAgent } from '@/platform/paused-connection';

const support = path.join(import.meta.dirname, '../../e2e/support');
const server = tls.createServer(
  {
    key: fs.readFileSync(path.join(support, 'loopback-key.pem')),
    cert: fs.readFileSync(path.join(support, 'loopback-certificate.pem')),
  },
  (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  },
);
let answer: (socket: TLSSocket) => void;
let url = '';
const agent = newAgent({ rejectUnauthorized: false });

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await agent.destroy();
  server.close();
});

/** How many bytes come to a reader who takes its time. */
async function readSlowly(): Promise<number> {
  const { body } = await request(url, { dispatcher: agent });
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    await sleep(5);
  }
  return bytes;
}

const head = (length: number | null) =>
  `HTTP/1.1 200 OK\r\nconnection: close\r\n${length === null ? '' : `content-length: ${length}\r\n`}\r\n`;

// Where the pause meets the last byte depends on the size.
const sizes = Array.from({ length: 30 }, (_, number) => 100_000 + number * 4_321);

describe('a connection that its upstream closes while the reader has it wait', () => {
  it.each([
    { framing: 'a length', hasLength: true },
    { framing: 'none', hasLength: false },
  ])('gives the whole reply ($framing)', async ({ hasLength }) => {
    for (const size of sizes) {
      answer = (socket) => socket.end(head(hasLength ? size : null) + 'x'.repeat(size));
      expect(await readSlowly()).toBe(size);
    }
  });

  it('fails the reply when it is cut off', async () => {
    for (const hasLength of [true, false]) {
      answer = (socket) => {
        socket.write(head(hasLength ? 9_000_000 : null) + 'x'.repeat(900_000));
        setTimeout(() => socket.destroy(), 30);
      };
      const reading = readSlowly();
      if (hasLength) await expect(reading).rejects.toThrow();
      else await reading.catch(() => {});
    }
  });
});
