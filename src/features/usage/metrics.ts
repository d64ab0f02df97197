import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { processState } from '@/platform/process-state';

/**
 * What Prometheus reads at `/metrics`. Calls are counted once, at their end, so that nothing of it
 * lies between two pieces of an answer. Every label takes a bounded number of values.
 */

const PREFIX = 'gemini_pool_';
// A first word takes a tenth of a second to half a minute, a video takes minutes.
const buckets = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600];

/** Handles of prom-client, which every module copy of this process shares. */
function instruments() {
  return processState('metrics', () => {
    const registry = new Registry();
    const registers = [registry];
    collectDefaultMetrics({ register: registry });
    return {
      registry,
      unread: { prompt: 0, completion: 0, reasoning: 0, tries: new Map<string, number>() },
      ...callInstruments(registers),
      ...poolInstruments(registers),
    };
  });
}

function callInstruments(registers: Registry[]) {
  return {
    requests: new Counter({
      name: `${PREFIX}requests_total`,
      help: 'Calls below /v1 that have ended. Status 499: the caller left.',
      labelNames: ['endpoint', 'model', 'status', 'stream'],
      registers,
    }),
    durations: new Histogram({
      name: `${PREFIX}request_duration_seconds`,
      help: 'Calls below /v1, from their begin to their end.',
      labelNames: ['endpoint', 'stream'],
      buckets,
      registers,
    }),
    firstBytes: new Histogram({
      name: `${PREFIX}first_byte_seconds`,
      help: 'From the begin of a streamed call to its first content.',
      buckets,
      registers,
    }),
    tokens: new Counter({
      name: `${PREFIX}tokens_total`,
      help: 'Tokens, estimated. Those of reasoning are among those of completion.',
      labelNames: ['direction'],
      registers,
    }),
    tries: new Counter({
      name: `${PREFIX}tries_total`,
      help: 'Tries of calls on an account: served, or the fault for which it was left.',
      labelNames: ['outcome'],
      registers,
    }),
    tryFirstBytes: new Histogram({
      name: `${PREFIX}try_first_byte_seconds`,
      help: 'From the begin of a try to the first that the upstream said.',
      buckets,
      registers,
    }),
    tryDurations: new Histogram({
      name: `${PREFIX}try_duration_seconds`,
      help: 'Tries of calls, from their begin to their end.',
      buckets,
      registers,
    }),
    streamsOpen: new Gauge({
      name: `${PREFIX}streams_open`,
      help: 'Streamed calls under way.',
      registers,
    }),
  };
}

function poolInstruments(registers: Registry[]) {
  return {
    accounts: new Gauge({
      name: `${PREFIX}accounts`,
      help: 'Accounts by state.',
      labelNames: ['state'],
      registers,
    }),
    resting: new Gauge({
      name: `${PREFIX}accounts_resting`,
      help: 'Accounts that rest for now, by the kind of use that they are not asked for.',
      labelNames: ['kind'],
      registers,
    }),
    queueLength: new Gauge({
      name: `${PREFIX}queue_length`,
      help: 'Calls that wait for an account.',
      registers,
    }),
    sessionStock: new Gauge({
      name: `${PREFIX}session_stock`,
      help: 'Upstream sessions that were made ahead of need.',
      registers,
    }),
  };
}

/** One call below /v1, as it ended. Times are in milliseconds. */
export interface CallFigures {
  /** A pattern of the API, not the path that was called. */
  route: string;
  /** As the caller wrote it. */
  model: string | null;
  /** The id of the model that this is; null if it is none. */
  modelId: string | null;
  status: number;
  stream: boolean;
  durationMs: number;
  firstByteMs: number | null;
  promptTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  attempts: readonly { outcome: string; firstByteMs: number | null; durationMs: number }[];
}

/** Counts a call and its tries. */
export function countCall(call: CallFigures): void {
  const { requests, durations, firstBytes, unread, tryFirstBytes, tryDurations } = instruments();
  const { route: endpoint, status, firstByteMs, promptTokens } = call;
  const model = call.modelId ?? (call.model === null ? '' : 'other');
  const stream = String(call.stream);
  requests.inc({ endpoint, model, status, stream });
  durations.observe({ endpoint, stream }, call.durationMs / 1_000);
  if (firstByteMs !== null) firstBytes.observe(firstByteMs / 1_000);
  // Labels cost more than the counting: these are given to their instruments when they are read.
  unread.prompt += promptTokens;
  unread.completion += call.completionTokens;
  unread.reasoning += call.reasoningTokens;
  for (const attempt of call.attempts) {
    unread.tries.set(attempt.outcome, (unread.tries.get(attempt.outcome) ?? 0) + 1);
    tryDurations.observe(attempt.durationMs / 1_000);
    if (attempt.firstByteMs !== null) tryFirstBytes.observe(attempt.firstByteMs / 1_000);
  }
}

/** Counts a streamed call as under way. */
export function streamBegan(): void {
  instruments().streamsOpen.inc();
}

/** The end of what `streamBegan` counted. */
export function streamEnded(): void {
  instruments().streamsOpen.dec();
}

/** How the pool stands now. */
export interface PoolFigures {
  /** How many accounts are in each state. */
  accounts: Readonly<Record<string, number>>;
  /** How many rest, by kind of use. */
  resting: Readonly<Record<string, number>>;
  queueLength: number;
  sessionStock: number;
}

/** All metrics in Prometheus' text form, with its content type. */
export async function renderMetrics(pool: PoolFigures): Promise<{ text: string; type: string }> {
  const { registry, accounts, resting, queueLength, sessionStock } = instruments();
  takeUnread();
  for (const [state, count] of Object.entries(pool.accounts)) accounts.set({ state }, count);
  for (const [kind, count] of Object.entries(pool.resting)) resting.set({ kind }, count);
  queueLength.set(pool.queueLength);
  sessionStock.set(pool.sessionStock);
  return { text: await registry.metrics(), type: registry.contentType };
}

function takeUnread(): void {
  const { unread, tokens, tries } = instruments();
  for (const direction of ['prompt', 'completion', 'reasoning'] as const) {
    tokens.inc({ direction }, unread[direction]);
    unread[direction] = 0;
  }
  for (const [outcome, count] of unread.tries) tries.inc({ outcome }, count);
  unread.tries.clear();
}
