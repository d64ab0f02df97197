import { BodyShare } from '@/api/openai/body-budget';
import { elapsedMs, endTrace, lastFault, newTrace, type Trace } from '@/features/accounts/trace';
import type { Completion, TokenUsage } from '@/features/chat/completion';
import type { ApiKey } from '@/features/keys/keys';
import { countCall, streamBegan, streamEnded } from '@/features/usage/metrics';
import { logRequest, type RequestAttempt } from '@/features/usage/usage';
import { statusOf } from '@/openai/errors';
import { type AppError, excerpt } from '@/platform/errors';
import { log } from '@/platform/log';
import { rowId } from '@/platform/row-id';

const noUsage: TokenUsage = { promptTokens: 0, completionTokens: 0, reasoningTokens: 0 };

/**
 * What is gathered of a call while it runs, for its line in the log, the metrics and, if it has one,
 * its row.
 */
export class RequestRecord {
  readonly requestId: string;
  readonly startedAtMs: number;
  /** Of its row. */
  readonly id: string;
  readonly trace: Trace;
  /** Given back when the call ends. */
  readonly bodyShare = new BodyShare();
  key: ApiKey | null = null;
  model: string | null = null;
  /** Asked for its usage when the call ends. */
  completion: Pick<Completion, 'model' | 'usage'> | null = null;

  readonly #path: string;
  readonly #route: string;
  readonly #hasRow: boolean;
  #stream = false;
  #firstByteMs: number | null = null;
  #isFinished = false;

  constructor(requestId: string, path: string, options: { route: string; logged: boolean }) {
    this.requestId = requestId;
    this.startedAtMs = Date.now();
    this.id = rowId(this.startedAtMs);
    this.trace = newTrace(requestId);
    this.#path = path;
    this.#route = options.route;
    this.#hasRow = options.logged;
  }

  /** Notes, once, that the caller wants a stream. */
  beginStream(): void {
    this.#stream = true;
    streamBegan();
  }

  /** Notes that the first content is on its way to the caller. */
  firstByte(): void {
    this.#firstByteMs ??= elapsedMs(this.trace);
  }

  /** Writes line and row of a call that failed, with the code that the caller reads. */
  fail(error: AppError): void {
    this.finish(statusOf(error), error.detail ?? error.code);
  }

  /** Writes line and row, and counts the call, once. */
  finish(status: number, code: string | null): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.bodyShare.release();
    const { requestId, key, model, trace } = this;
    endTrace(trace);
    const attempts = trace.attempts.map(toRow);
    const { queueMs } = trace;
    const usage = this.completion?.usage() ?? noUsage;
    const timing = { queueMs, firstByteMs: this.#firstByteMs, durationMs: elapsedMs(trace) };
    const fault = lastFault(trace);
    const cost = costOf(usage, this.completion?.model.pricePer1kTokens ?? 0);
    const call = { requestId, model, stream: this.#stream, status, code, fault };
    const known = this.completion?.model.id ?? null;
    if (key && this.#hasRow) {
      const { id, startedAtMs } = this;
      const row = { id, startedAtMs, endpoint: this.#path, apiKeyId: key.id, modelId: known };
      logRequest({ ...row, ...call, attempts, ...timing, ...usage, cost });
    }
    const label = known ?? (model === null ? '' : 'other');
    countCall({ ...call, endpoint: this.#route, model: label, ...timing, ...usage, attempts });
    if (this.#stream) streamEnded();
    const last = trace.attempts.at(-1);
    const who = { path: excerpt(this.#path, 200), key: key?.name, account: last?.account.label };
    const tries = attempts.length;
    log().info({ ...who, ...call, tries, ...timing, ...usage, cost }, 'request');
  }
}

function toRow({ account, ...attempt }: Trace['attempts'][number]): RequestAttempt {
  return { ...attempt, accountId: account.id };
}

/** A call that was answered nothing costs nothing. */
function costOf({ promptTokens, completionTokens }: TokenUsage, pricePer1kTokens: number): number {
  if (completionTokens === 0) return 0;
  return ((promptTokens + completionTokens) * pricePer1kTokens) / 1_000;
}
