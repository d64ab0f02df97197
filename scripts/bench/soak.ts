import { nextMessage, programFile, stopNode } from './children';
import { type Equipment, type Program, runLoad, startServer } from './equipment';
import type { LoopDelay } from './loop-delay';
import { rssMb } from './process-figures';

export interface SoakResult {
  streams: number;
  /** From the first question to the last answer's end. */
  elapsedMs: number;
  /** Until the first byte, with all streams opened at once; the median. */
  firstByteP50Ms: number;
  /** Of the server's event loop, from when all streams were open to the end. */
  loopDelay: LoopDelay;
  /** Of the server before the streams, at second 10, and the highest after that. */
  rssBeforeMb: number;
  rssSettledMb: number;
  rssHighestMb: number;
}

/** What the server promises. */
export const soakLimits = { loopDelayP99Ms: 50, rssGrowthMb: 50 };

const STREAMS = 500;
const PIECES = 60;
const PIECE_EVERY_MS = 500;
const SETTLED_AFTER_SAMPLES = 10;
const SAMPLE_EVERY_MS = 1_000;

/**
 * Holds 500 streams of 30 s at once on a server that was just started.
 * @throws Error if any stream fails or is not whole
 */
export async function soak(equipment: Equipment): Promise<SoakResult> {
  const server = await startServer(equipment, ['--import', programFile('loop-delay')]);
  const rssBeforeMb = rssMb(server.pid);
  const samples: number[] = [];
  const sampling = setInterval(() => samples.push(rssMb(server.pid)), SAMPLE_EVERY_MS);
  try {
    const job = {
      target: streamOn(server, equipment.key),
      clients: STREAMS,
      durationMs: 0,
      expected: {
        contains: Array.from({ length: PIECES }, (_, index) => `${index + 1}"}`),
        end: 'data: [DONE]\n\n',
      },
    };
    const load = await runLoad(equipment, job, () => server.child.send('reset'));
    samples.push(rssMb(server.pid));
    server.child.send('read');
    const afterSettling = samples.slice(SETTLED_AFTER_SAMPLES - 1);
    return {
      streams: load.requests,
      elapsedMs: load.elapsedMs,
      firstByteP50Ms: load.firstByteP50Ms,
      loopDelay: await nextMessage<LoopDelay>(server.child),
      rssBeforeMb,
      rssSettledMb: afterSettling[0] ?? 0,
      rssHighestMb: Math.max(...afterSettling),
    };
  } finally {
    clearInterval(sampling);
    await stopNode(server.child);
  }
}

function streamOn({ url }: Program, key: string) {
  const content = `Please: [[count n=${PIECES} ms=${PIECE_EVERY_MS}]]`;
  return {
    kind: 'completion' as const,
    url: `${url}/v1/chat/completions`,
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model: 'gemini-enterprise',
      stream: true,
      messages: [{ role: 'user', content }],
    }),
  };
}
