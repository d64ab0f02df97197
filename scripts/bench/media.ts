import { Readable } from 'node:stream';
import { request } from 'undici';
import { stopNode } from './children';
import { type Equipment, type Program, startServer } from './equipment';
import { rssMb } from './process-figures';

const MIB = 1_048_576;
const VIDEO_BYTES = 500 * MIB;
const FILE_BYTES = 90 * MIB;
const PIECE_BYTES = 65_536;
const SAMPLE_EVERY_MS = 50;

/** What one way of many bytes through the server took. */
export interface MediaFigures {
  way: string;
  bytes: number;
  elapsedMs: number;
  /** Of the server: before, and how much higher it ever was meanwhile. */
  rssBeforeMb: number;
  rssGrowthMb: number;
}

/** What the server promises of its memory, in millions of bytes. */
export const mediaLimits = { rssGrowthMb: 64 };

/**
 * Sends large files both ways through a server that was just started: a generated video from the
 * upstream to the disk and from there to a caller, an upload to the disk and from there upstream.
 * @throws Error if any of it fails or is not whole
 */
export async function measureMedia(equipment: Equipment): Promise<MediaFigures[]> {
  const server = await startServer(equipment);
  const client = new Client(server, equipment.key);
  try {
    // Pictures first, so that what is loaded once is there.
    await client.ask('[[image]] [[files]]');
    await client.ask('[[video]]');
    let link = '';
    let fileId = '';
    return [
      await watched(server, 'upstream to disk', VIDEO_BYTES, async () => {
        link = await client.ask(`[[video bytes=${VIDEO_BYTES}]]`);
      }),
      await watched(server, 'disk to caller', VIDEO_BYTES, () => expectBytes(link, VIDEO_BYTES)),
      await watched(server, 'upstream to disk, as base64', VIDEO_BYTES, async () => {
        await client.ask(`[[video base64=1 bytes=${VIDEO_BYTES}]]`);
      }),
      await watched(server, 'caller to disk', FILE_BYTES, async () => {
        fileId = await client.upload(FILE_BYTES);
      }),
      await watched(server, 'disk to upstream', FILE_BYTES, () => client.askAbout(fileId)),
    ];
  } finally {
    await stopNode(server.child);
  }
}

async function watched(
  server: Program,
  way: string,
  bytes: number,
  run: () => Promise<void>,
): Promise<MediaFigures> {
  const rssBeforeMb = rssMb(server.pid);
  let highestMb = rssBeforeMb;
  const sample = () => {
    highestMb = Math.max(highestMb, rssMb(server.pid));
  };
  const sampling = setInterval(sample, SAMPLE_EVERY_MS);
  const startedAt = performance.now();
  try {
    await run();
  } finally {
    clearInterval(sampling);
  }
  const elapsedMs = performance.now() - startedAt;
  sample();
  return { way, bytes, elapsedMs, rssBeforeMb, rssGrowthMb: highestMb - rssBeforeMb };
}

class Client {
  readonly #url: string;
  readonly #authorization: { authorization: string };

  constructor({ url }: Program, key: string) {
    this.#url = `${url}/v1`;
    this.#authorization = { authorization: `Bearer ${key}` };
  }

  /** The link in the answer; empty if there is none. */
  async ask(content: string | object[]): Promise<string> {
    const body = { model: 'gemini-enterprise', messages: [{ role: 'user', content }] };
    const answer = await this.#post('/chat/completions', JSON.stringify(body));
    return /https?:\S+\w/.exec(answer.choices[0].message.content)?.[0] ?? '';
  }

  async askAbout(fileId: string): Promise<void> {
    const file = { type: 'file', file: { file_id: fileId } };
    await this.ask([{ type: 'text', text: 'Read' }, file]);
  }

  async upload(bytes: number): Promise<string> {
    const boundary = 'bench';
    const part = (rest: string) =>
      `--${boundary}\r\nContent-Disposition: form-data; ${rest}\r\n\r\n`;
    const head = `${part('name="purpose"')}user_data\r\n${part('name="file"; filename="a.bin"')}`;
    const stream = async function* () {
      yield Buffer.from(head);
      const piece = Buffer.alloc(PIECE_BYTES, 1);
      for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, left);
      yield Buffer.from(`\r\n--${boundary}--\r\n`);
    };
    const { id } = await this.#post('/files', Readable.from(stream()), {
      'content-type': `multipart/form-data; boundary=${boundary}`,
    });
    return id;
  }

  async #post(path: string, body: string | Readable, headers: Record<string, string> = {}) {
    const { statusCode, body: reply } = await request(`${this.#url}${path}`, {
      method: 'POST',
      headers: { ...this.#authorization, ...headers },
      body,
    });
    const text = await reply.text();
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${text}`);
    return JSON.parse(text);
  }
}

async function expectBytes(link: string, bytes: number): Promise<void> {
  const response = await fetch(link);
  let left = bytes;
  for await (const piece of response.body ?? []) left -= piece.length;
  if (!response.ok || left !== 0) throw new Error(`${link}: ${response.status}, ${left} missing`);
}
