import { BodyShare } from '@/api/openai/body-budget';
import type { Trace } from '@/features/accounts/pool';
import type { TokenUsage } from '@/features/chat/completion';
import type { ApiKey } from '@/features/keys/keys';
import { logRequest } from '@/features/usage/usage';
import { statusOf } from '@/openai/errors';
import { type AppError, excerpt } from '@/platform/errors';
import { log } from '@/platform/log';

const noUsage: TokenUsage = { promptTokens: 0, completionTokens: 0, reasoningTokens: 0 };

/** What is gathered of a call while it runs, for its line in the log and, if it has one, its row. */
export class RequestRecord {
  readonly requestId: string;
  readonly startedAtMs: number;
  readonly trace: Trace;
  /** Given back when the call ends. */
  readonly bodyShare = new BodyShare();
  key: ApiKey | null = null;
  model: string | null = null;
  stream = false;
  /** Asked when the call ends. */
  usage: (() => TokenUsage) | null = null;

  readonly #endpoint: string;
  readonly #hasRow: boolean;
  #firstByteMs: number | null = null;
  #isFinished = false;

  constructor(requestId: string, endpoint: string, hasRow: boolean) {
    this.requestId = requestId;
    this.startedAtMs = Date.now();
    this.trace = { requestId, tries: 0, account: null, fault: null };
    this.#endpoint = endpoint;
    this.#hasRow = hasRow;
  }

  /** Notes that the first content is on its way to the caller. */
  firstByte(): void {
    this.#firstByteMs ??= Date.now() - this.startedAtMs;
  }

  /** Writes line and row of a call that failed, with the code that the caller reads. */
  fail(error: AppError): void {
    this.finish(statusOf(error), error.detail ?? error.code);
  }

  /** Writes line and row, once. */
  finish(status: number, code: string | null): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.bodyShare.release();
    const { requestId, key, model, stream, startedAtMs } = this;
    const { tries, account, fault } = this.trace;
    const usage = this.usage?.() ?? noUsage;
    const durationMs = Date.now() - startedAtMs;
    const firstByteMs = this.#firstByteMs;
    const call = { requestId, model, stream, status, code, fault, tries, firstByteMs, durationMs };
    if (key && this.#hasRow) {
      const who = { apiKeyId: key.id, accountId: account?.id ?? null };
      logRequest({ ...call, ...usage, ...who, startedAtMs, endpoint: this.#endpoint });
    }
    log().info(
      {
        path: excerpt(this.#endpoint, 200),
        key: key?.name,
        account: account?.label,
        ...call,
        ...usage,
      },
      'request',
    );
  }
}
