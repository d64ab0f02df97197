import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGzip } from 'node:zlib';
import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rssMb } from '../../scripts/bench/process-figures';
import { makePng } from '../stand-in/png';
import { expectTidy, makeMedium } from '../support/media';
import { type Pool, startPool } from '../support/pool';

const MIB = 1_048_576;
const PICTURE_BYTES = 5_000_000;
const PARALLEL = 40;
/** What large bodies may take together, by body-budget.ts. */
const BUDGET_MB = 67;
/** In how many forms a body that is served is in memory at the most: packed text, text, object, bytes. */
const FORMS = 6;

let pool: Pool;

beforeAll(async () => {
  pool = await startPool({ settings: { sessionStockPerAccount: 0 } });
});
afterAll(() => pool.close());

/** By how much the server's memory grows while something goes on, in MB. */
async function growthMb(run: () => Promise<unknown>): Promise<number> {
  const { pid } = pool.server;
  const before = rssMb(pid);
  let highest = before;
  const watch = setInterval(() => {
    highest = Math.max(highest, rssMb(pid));
  }, 50);
  try {
    await run();
    return highest - before;
  } finally {
    clearInterval(watch);
  }
}

const all = <T>(count: number, run: (number: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, number) => run(number)));

/** A chat whose one part, of so many MiB of one letter, packs to a thousandth. */
function bomb(part: [opening: string, ending: string], mebibytes: number): Promise<Buffer> {
  function* pieces() {
    yield Buffer.from('{"model":"gemini-enterprise","messages":[{"role":"user","content":[');
    yield Buffer.from(part[0]);
    const piece = Buffer.alloc(MIB, 'A');
    for (let count = 0; count < mebibytes; count += 1) yield piece;
    yield Buffer.from(`${part[1]}]}]}`);
  }
  return buffer(Readable.from(pieces()).pipe(createGzip()));
}

async function statusOf(packed: Buffer): Promise<number> {
  const response = await pool.call('/v1/chat/completions', undefined, {
    method: 'POST',
    body: new Uint8Array(packed),
    headers: { 'content-encoding': 'gzip' },
  });
  await response.arrayBuffer();
  return response.status;
}

describe('a bomb', () => {
  it.each<[string, [string, string]]>([
    ['text', ['{"type":"text","text":"', '"}']],
    ['base64', ['{"type":"image_url","image_url":{"url":"data:image/png;base64,', '"}}']],
  ])('of %s is refused, and takes little more than the budget', async (_, part) => {
    const packed = await bomb(part, 300);
    const thrown = async () => new Set(await all(20, () => statusOf(packed)));
    const seen = await thrown();
    const grown = await growthMb(async () => {
      for (let round = 0; round < 5; round += 1)
        for (const status of await thrown()) seen.add(status);
    });
    expect([...seen].sort()).toEqual([413, 429]);
    // As much again, and more, for what is thrown away and not collected yet.
    expect(grown).toBeLessThan(BUDGET_MB * 3);
    expect(await statusOf(await bomb(['{"type":"text","text":"', '"}'], 0))).toBe(200);
  });
});

describe(`${PARALLEL} pictures of 5 MB at the same time`, () => {
  it('arrive all, some later, when callers send them', async () => {
    const client = pool.client.withOptions({ maxRetries: 50 });
    const pictures = Array.from({ length: PARALLEL }, (_, number) =>
      Buffer.concat([makePng(String(number), 8, 8), randomBytes(PICTURE_BYTES)]),
    );
    const send = async (number: number) => {
      const base64 = pictures[number]?.toString('base64');
      const content: OpenAI.ChatCompletionContentPart[] = [
        { type: 'text', text: `Picture ${number}.` },
        { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } },
      ];
      const messages = [{ role: 'user' as const, content }];
      return client.chat.completions.create({ model: 'gemini-enterprise', messages });
    };
    const grown = await growthMb(() => all(PARALLEL, send));
    const sums = pictures.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
    const arrived = new Map(
      pool.standIn.sessions.turns.map(({ prompt, files }) => [prompt, files[0]?.sha256]),
    );
    for (const [number, sum] of sums.entries()) {
      expect(arrived.get(`Picture ${number}.`)).toBe(sum);
    }
    expect(grown).toBeLessThan(BUDGET_MB * FORMS);
  }, 180_000);

  it('are kept, and leave memory alone, when the upstream makes them', async () => {
    const order = `image bytes=${PICTURE_BYTES}`;
    await makeMedium(pool, order);
    const grown = await growthMb(() => all(PARALLEL, () => makeMedium(pool, order)));
    await expectTidy(pool);
    expect(grown).toBeLessThan(64);
  });

  it('stand in answers as far as there is memory; of the rest the address does', async () => {
    const body = {
      model: 'gemini-enterprise',
      messages: [{ role: 'user', content: `[[image bytes=${3 * PICTURE_BYTES}]]` }],
      image_format: 'base64',
    };
    const forms = new Set<string>();
    const draw = async () => {
      const response = await pool.call('/v1/chat/completions', body);
      expect(response.status).toBe(200);
      const { choices } = await response.json();
      forms.add(/\((data|http):/.exec(choices[0].message.content)?.[1] ?? 'neither');
    };
    await draw();
    const grown = await growthMb(() => all(PARALLEL, draw));
    expect([...forms].sort()).toEqual(['data', 'http']);
    expect(grown).toBeLessThan(BUDGET_MB * FORMS);
  }, 180_000);

  it('go out to those who look at them, however slowly', async () => {
    const address = await makeMedium(pool, `video bytes=${50 * MIB}`);
    const grown = await growthMb(async () => {
      const opened = await all(PARALLEL, () => fetch(address));
      const sizes = opened.map(async ({ body }) => {
        let bytes = 0;
        for await (const piece of body ?? []) bytes += piece.length;
        return bytes;
      });
      expect(new Set(await Promise.all(sizes))).toEqual(new Set([50 * MIB]));
    });
    expect(grown).toBeLessThan(64);
  });
});
