/** Puts load on a server, in a process of its own. Takes `LoadJob`s over IPC, one at a time. */
import { type Dispatcher, Pool } from 'undici';
import type { Expected, LoadJob, LoadReport, LoadResult, Target } from './load-job';
import {
  createSessionBody,
  createSessionPath,
  mintHeaders,
  sessionNameOf,
  streamAssistBody,
  streamAssistPath,
} from './upstream';

const EXCERPT_CHARACTERS = 500;

const report = (message: LoadReport) => process.send?.(message);

process.on('message', (job: LoadJob) => {
  run(job).then(
    (result) => report({ type: 'done', result }),
    (error: Error) => report({ type: 'failed', message: error.message }),
  );
});
process.once('disconnect', () => process.exit(0));

interface Answer {
  status: number;
  body: Buffer;
  firstByteAt: number;
}

type Ask = (onFirstByte: () => void) => Promise<Answer>;

async function run({ target, clients, durationMs, expected }: LoadJob): Promise<LoadResult> {
  const { origin } = new URL(target.url);
  const pool = new Pool(origin, { connections: clients, headersTimeout: 0, bodyTimeout: 0 });
  const ask = await asker(pool, target);
  const totalsMs: number[] = [];
  const firstBytesMs: number[] = [];
  let waiting = clients;
  const startedAt = performance.now();

  async function client(): Promise<void> {
    let onFirstByte = () => {
      waiting -= 1;
      if (waiting === 0) report({ type: 'open' });
    };
    do {
      const askedAt = performance.now();
      const answer = await ask(onFirstByte);
      totalsMs.push(performance.now() - askedAt);
      firstBytesMs.push(answer.firstByteAt - askedAt);
      check(answer, expected);
      onFirstByte = () => {};
    } while (performance.now() - startedAt < durationMs);
  }

  try {
    await Promise.all(Array.from({ length: clients }, client));
    const elapsedMs = performance.now() - startedAt;
    totalsMs.sort((a, b) => a - b);
    firstBytesMs.sort((a, b) => a - b);
    return {
      requests: totalsMs.length,
      elapsedMs,
      p50Ms: percentile(totalsMs, 0.5),
      p99Ms: percentile(totalsMs, 0.99),
      firstByteP50Ms: percentile(firstBytesMs, 0.5),
    };
  } finally {
    await pool.destroy();
  }
}

async function asker(pool: Pool, target: Target): Promise<Ask> {
  if (target.kind === 'completion') {
    const headers = { 'content-type': 'application/json', ...target.headers };
    const { pathname } = new URL(target.url);
    return (onFirstByte) => post(pool, pathname, headers, target.body, onFirstByte);
  }
  const headers = await mintHeaders(target.url);
  return async (onFirstByte) => {
    const created = await post(pool, createSessionPath, headers, createSessionBody);
    if (created.status !== 200) return created;
    const session = sessionNameOf(created.body.toString());
    const body = streamAssistBody(session, target.prompt);
    return post(pool, streamAssistPath, headers, body, onFirstByte);
  };
}

/** One request, straight on undici's dispatch: the load should cost less than what it measures. */
function post(
  pool: Pool,
  path: string,
  headers: Record<string, string>,
  body: string,
  onFirstByte: () => void = () => {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let firstByteAt = 0;
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart() {},
      onResponseStart(_controller, statusCode) {
        status = statusCode;
      },
      onResponseData(_controller, chunk) {
        if (firstByteAt === 0) {
          firstByteAt = performance.now();
          onFirstByte();
        }
        chunks.push(chunk);
      },
      onResponseEnd() {
        resolve({ status, body: Buffer.concat(chunks), firstByteAt });
      },
      onResponseError(_controller, error) {
        reject(error);
      },
    };
    pool.dispatch({ method: 'POST', path, headers, body }, handler);
  });
}

/** @throws Error with the answer's beginning and end if it is not whole */
function check({ status, body }: Answer, { contains, end }: Expected): void {
  if (status === 200 && body.subarray(-end.length).toString() === end && holds(body, contains)) {
    return;
  }
  const text = body.toString();
  const excerpt =
    text.length <= 2 * EXCERPT_CHARACTERS
      ? text
      : `${text.slice(0, EXCERPT_CHARACTERS)} […] ${text.slice(-EXCERPT_CHARACTERS)}`;
  throw new Error(`An answer is not whole (status ${status}):\n${excerpt}`);
}

function holds(body: Buffer, texts: string[]): boolean {
  let from = 0;
  return texts.every((text) => {
    const at = body.indexOf(text, from);
    from = at + text.length;
    return at !== -1;
  });
}

function percentile(sorted: number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
