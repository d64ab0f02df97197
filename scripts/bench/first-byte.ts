import { runCommand } from '../../e2e/support/commands';
import { stopNode } from './children';
import { dataFolderIn, type Equipment, runLoad, startServer } from './equipment';
import type { LoadJob, LoadResult, Target } from './load-job';

/** How long a new conversation waits for its first byte. */
export interface FirstByteFigures {
  /** Before every reply of the upstream. */
  latencyMs: number;
  /** Both calls, straight to the stand-in. */
  upstream: LoadResult;
  stocks: { sessionStockPerAccount: number; result: LoadResult }[];
}

const LATENCY_MS = 50;
const WARM_UP_MS = 1_000;
const DURATION_MS = 5_000;
const prompt = 'Please: [[bench pieces=20 writes=5]]';

/**
 * Measures one caller after the other, with the stock of sessions off and on.
 * @throws Error if any request fails
 */
export async function measureFirstByte(equipment: Equipment): Promise<FirstByteFigures> {
  const { standIn } = equipment;
  await setLatency(equipment, LATENCY_MS);
  try {
    const target: Target = { kind: 'upstream', url: standIn.url, prompt };
    const upstream = await load(equipment, target, { contains: ['SUCCEEDED'], end: ']' });
    const stocks: FirstByteFigures['stocks'] = [];
    for (const sessionStockPerAccount of [0, 1]) {
      const result = await withStock(equipment, sessionStockPerAccount);
      stocks.push({ sessionStockPerAccount, result });
    }
    return { latencyMs: LATENCY_MS, upstream, stocks };
  } finally {
    await setLatency(equipment, 0);
  }
}

async function withStock(equipment: Equipment, perAccount: number): Promise<LoadResult> {
  const name = 'sessionStockPerAccount';
  await runCommand('settings', ['set', name, String(perAccount)], dataFolderIn(equipment.folder));
  const server = await startServer(equipment);
  const target: Target = {
    kind: 'completion',
    url: `${server.url}/v1/chat/completions`,
    headers: { authorization: `Bearer ${equipment.key}` },
    body: JSON.stringify({
      model: 'gemini-enterprise',
      stream: true,
      messages: [{ role: 'user', content: prompt }],
    }),
  };
  const expected = { contains: ['Piece 20'], end: 'data: [DONE]\n\n' };
  await load(equipment, target, expected, WARM_UP_MS);
  const result = await load(equipment, target, expected);
  await stopNode(server.child);
  return result;
}

function load(
  equipment: Equipment,
  target: Target,
  expected: LoadJob['expected'],
  durationMs = DURATION_MS,
): Promise<LoadResult> {
  return runLoad(equipment, { target, clients: 1, durationMs, expected });
}

async function setLatency({ standIn }: Equipment, latencyMs: number): Promise<void> {
  const body = JSON.stringify({ latencyMs });
  await fetch(`${standIn.url}/__control/limits`, { method: 'POST', body });
}
