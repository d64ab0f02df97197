/** What is asked, over and over. */
export type Target =
  /** A POST to an OpenAI endpoint. */
  | { kind: 'completion'; url: string; headers: Record<string, string>; body: string }
  /** The two calls of one question, straight to the stand-in. */
  | { kind: 'upstream'; url: string; prompt: string };

/** An order to the load generator. */
export interface LoadJob {
  target: Target;
  /** That many ask at the same time, each the next question when the last is answered. */
  clients: number;
  /** No question is begun after that; 0 = each client asks once. */
  durationMs: number;
  expected: Expected;
}

/** How a whole answer looks; any other one, and any other status than 200, fails the job. */
export interface Expected {
  /** In this order. */
  contains: string[];
  end: string;
}

export interface LoadResult {
  requests: number;
  /** From the first question to the last answer's end. */
  elapsedMs: number;
  p50Ms: number;
  p99Ms: number;
  /** Until the first byte of the answer's body. */
  firstByteP50Ms: number;
}

/** What the load generator reports: each client has its first byte; the job is done; it failed. */
export type LoadReport = { type: 'open' } | { type: 'done'; result: LoadResult } | LoadFailure;

interface LoadFailure {
  type: 'failed';
  message: string;
}
