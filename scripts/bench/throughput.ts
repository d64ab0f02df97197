import { setTimeout as sleep } from 'node:timers/promises';
import { stopNode } from './children';
import { type Equipment, type Program, runLoad, startPassThrough, startServer } from './equipment';
import type { Expected, LoadJob, Target } from './load-job';
import { cpuMicroseconds, rssMb } from './process-figures';

type Shape = 'plain' | 'stream';

/** One program under one load: of several rounds the median of each figure. */
export interface Figures {
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  firstByteP50Ms: number;
  cpuMicrosecondsPerRequest: number;
  rssMb: number;
}

/** Server and pass-through under the same load, in turns. */
export interface Comparison {
  shape: Shape;
  clients: number;
  passThrough: Figures;
  server: Figures;
  /** Requests/s of the server by those of the pass-through in the same round; the median. */
  ratio: number;
}

export interface Throughput {
  standIn: { clients: number; figures: Figures }[];
  comparisons: Comparison[];
}

export interface Plan {
  rounds: number;
  roundMs: number;
  warmUpMs: number;
}

const clientCounts = [1, 16, 64];
const shapes: Shape[] = ['plain', 'stream'];
const WARM_UP_CLIENTS = 16;
/** Log rows are written within a second: their cost belongs to the round that made them. */
const WRITE_BEHIND_MS = 1_100;

const PIECES = 20;
const prompt = `Please: [[bench pieces=${PIECES} writes=5]]`;
const pieces = Array.from({ length: PIECES }, (_, index) => `Piece ${index + 1} of the answer. `);

/**
 * Measures the stand-in alone, then server and pass-through in alternating rounds.
 * @throws Error if any request fails
 */
export async function measureThroughput(equipment: Equipment, plan: Plan): Promise<Throughput> {
  const standIn = await measureStandIn(equipment, plan);
  const server = await startServer(equipment);
  const passThrough = await startPassThrough(equipment);
  const comparisons: Comparison[] = [];
  for (const shape of shapes) {
    for (const subject of [passThrough, server]) {
      const target = completionTarget(subject, shape, equipment.key);
      const expected = expectedOf(shape, subject === server);
      const warmUp = { target, expected, clients: WARM_UP_CLIENTS, durationMs: plan.warmUpMs };
      await runLoad(equipment, warmUp);
    }
    for (const clients of clientCounts) {
      comparisons.push(await compare(equipment, { passThrough, server }, shape, clients, plan));
    }
  }
  await Promise.all([stopNode(server.child), stopNode(passThrough.child)]);
  return { standIn, comparisons };
}

async function measureStandIn(equipment: Equipment, plan: Plan): Promise<Throughput['standIn']> {
  const { standIn } = equipment;
  const target: Target = { kind: 'upstream', url: standIn.url, prompt };
  const expected = expectedOf('stream', false);
  const load = { target, expected, clients: WARM_UP_CLIENTS, durationMs: plan.warmUpMs };
  await runLoad(equipment, load);
  const results: Throughput['standIn'] = [];
  for (const clients of clientCounts) {
    const rounds: Figures[] = [];
    for (let round = 0; round < plan.rounds; round += 1) {
      const job = { ...load, clients, durationMs: plan.roundMs };
      rounds.push(await measureRound(equipment, standIn, job));
    }
    results.push({ clients, figures: medians(rounds) });
  }
  return results;
}

async function compare(
  equipment: Equipment,
  { passThrough, server }: { passThrough: Program; server: Program },
  shape: Shape,
  clients: number,
  { rounds, roundMs }: Plan,
): Promise<Comparison> {
  const measure = (subject: Program) =>
    measureRound(equipment, subject, {
      target: completionTarget(subject, shape, equipment.key),
      clients,
      durationMs: roundMs,
      expected: expectedOf(shape, subject === server),
    });
  const ours: Figures[] = [];
  const bare: Figures[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const [first, second] = round % 2 === 0 ? [passThrough, server] : [server, passThrough];
    const figures = new Map([[first, await measure(first)]]);
    figures.set(second, await measure(second));
    const [a, b] = [figures.get(server), figures.get(passThrough)];
    if (!a || !b) continue;
    ours.push(a);
    bare.push(b);
    ratios.push(a.requestsPerSecond / b.requestsPerSecond);
  }
  const ratio = median(ratios);
  return { shape, clients, passThrough: medians(bare), server: medians(ours), ratio };
}

async function measureRound(
  equipment: Equipment,
  subject: Program,
  job: LoadJob,
): Promise<Figures> {
  // What the stand-in remembers of the last round must not slow down this one.
  await fetch(`${equipment.standIn.url}/__control/reset`, { method: 'POST' });
  const cpuBefore = cpuMicroseconds(subject.pid);
  const result = await runLoad(equipment, job);
  const rss = rssMb(subject.pid);
  await sleep(WRITE_BEHIND_MS);
  return {
    requestsPerSecond: (result.requests / result.elapsedMs) * 1_000,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    firstByteP50Ms: result.firstByteP50Ms,
    cpuMicrosecondsPerRequest: (cpuMicroseconds(subject.pid) - cpuBefore) / result.requests,
    rssMb: rss,
  };
}

function completionTarget({ url }: Program, shape: Shape, key: string): Target {
  return {
    kind: 'completion',
    url: `${url}/v1/chat/completions`,
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model: 'gemini-enterprise',
      stream: shape === 'stream',
      messages: [{ role: 'user', content: prompt }],
    }),
  };
}

/** The pass-through gives the upstream's array, where each piece is an element of its own. */
function expectedOf(shape: Shape, isServer: boolean): Expected {
  if (!isServer) return { contains: [...pieces, 'SUCCEEDED'], end: ']' };
  if (shape === 'stream') return { contains: pieces, end: 'data: [DONE]\n\n' };
  return { contains: [pieces.join('')], end: '}' };
}

function medians(rounds: Figures[]): Figures {
  const of = (pick: (figures: Figures) => number) => median(rounds.map(pick));
  return {
    requestsPerSecond: of((round) => round.requestsPerSecond),
    p50Ms: of((round) => round.p50Ms),
    p99Ms: of((round) => round.p99Ms),
    firstByteP50Ms: of((round) => round.firstByteP50Ms),
    cpuMicrosecondsPerRequest: of((round) => round.cpuMicrosecondsPerRequest),
    rssMb: of((round) => round.rssMb),
  };
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}
