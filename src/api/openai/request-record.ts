import { BodyShare } from '@/api/openai/body-budget';
import { elapsedMs, endTrace, lastFault, newTrace, type Trace } from '@/features/accounts/trace';
import type { TokenUsage } from '@/features/chat/completion';
import type { ApiKey } from '@/features/keys/keys';
import { type Model, modelInMemory } from '@/features/models/models';
import { countCall, streamBegan, streamEnded } from '@/features/usage/metrics';
import { logRequest } from '@/features/usage/usage';
import { statusOf, toErrorBody } from '@/openai/errors';
import { type AppError, excerpt } from '@/platform/errors';
import { log } from '@/platform/log';
import { redact } from '@/platform/redact';
import { rowId } from '@/platform/row-id';

const MAX_LOGGED_CHARACTERS = 200;

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
  /** Of the budget of large bodies, for what the call brought and for what its answer holds. */
  readonly bodyShare = new BodyShare();
  readonly answerShare = new BodyShare();
  key: ApiKey | null = null;
  /** Asked for its usage when the call ends. */
  completion: { model: Model | null; usage(): TokenUsage } | null = null;

  readonly #path: string;
  readonly #route: string;
  readonly #hasRow: boolean;
  #model: string | null = null;
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

  /** Notes the model that the caller names; it may be a key in the wrong field. */
  nameModel(model: string): void {
    this.#model = excerpt(redact(model), MAX_LOGGED_CHARACTERS);
  }

  /** Notes, once, that the caller wants a stream. */
  beginStream(): void {
    if (this.#stream) return;
    this.#stream = true;
    streamBegan();
  }

  /** Notes that the first content is on its way to the caller. */
  firstByte(): void {
    this.#firstByteMs ??= elapsedMs(this.trace);
  }

  /** `finish` for a call that failed, with the code that the caller reads; ours where that is null. */
  fail(error: AppError): void {
    this.finish(statusOf(error), toErrorBody(error).error.code ?? error.code);
  }

  /** The call is over: line and row are written, and it is counted, once, in a moment. */
  finish(status: number, code: string | null): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.bodyShare.release();
    this.answerShare.release();
    endTrace(this.trace);
    const durationMs = elapsedMs(this.trace);
    noteLater(() => this.#note(status, code, durationMs));
  }

  /** The model that was asked for, though it came to no completion. */
  #namedModel(): Model | null {
    if (this.#model === null || this.key === null) return null;
    return modelInMemory(this.key.models, this.#model);
  }

  #note(status: number, code: string | null, durationMs: number): void {
    const { key, trace } = this;
    const { attempts } = trace;
    const last = attempts.at(-1);
    const known = this.completion ? this.completion.model : this.#namedModel();
    const usage = this.completion?.usage() ?? noUsage;
    // Field by field: this is a hot path, and each spread costs microseconds.
    const call = {
      id: this.id,
      startedAtMs: this.startedAtMs,
      requestId: this.requestId,
      apiKeyId: key?.id ?? '',
      route: this.#route,
      endpoint: this.#path,
      model: this.#model,
      modelId: known?.id ?? null,
      stream: this.#stream,
      status,
      code,
      fault: lastFault(trace),
      attempts,
      queueMs: trace.queueMs,
      firstByteMs: this.#firstByteMs,
      durationMs,
      promptTokens: usage.promptTokens,
      completionTokens: usage.completionTokens,
      reasoningTokens: usage.reasoningTokens,
      cost: costOf(usage, known?.pricePer1kTokens ?? 0),
    };
    if (key && this.#hasRow) logRequest(call);
    countCall(call);
    if (this.#stream) streamEnded();
    log().info(
      {
        path: excerpt(call.endpoint, 200),
        key: key?.name,
        account: last?.account.label,
        requestId: call.requestId,
        model: call.model,
        stream: call.stream,
        status,
        code,
        fault: call.fault,
        tries: attempts.length,
        queueMs: call.queueMs,
        firstByteMs: call.firstByteMs,
        durationMs: call.durationMs,
        promptTokens: call.promptTokens,
        completionTokens: call.completionTokens,
        reasoningTokens: call.reasoningTokens,
        cost: call.cost,
      },
      'request',
    );
  }
}

const notes: (() => void)[] = [];

/**
 * All calls that end in one turn of the event loop are noted together, after it: the answers go
 * first, and what is noted in a row costs half of what it costs between two answers.
 */
function noteLater(note: () => void): void {
  if (notes.length === 0) setImmediate(noteAll);
  notes.push(note);
}

function noteAll(): void {
  for (const note of notes.splice(0)) {
    try {
      note();
    } catch (error) {
      log().error({ err: error }, 'a call could not be noted');
    }
  }
}

/** A call that was answered nothing costs nothing. */
function costOf({ promptTokens, completionTokens }: TokenUsage, pricePer1kTokens: number): number {
  if (completionTokens === 0) return 0;
  return ((promptTokens + completionTokens) * pricePer1kTokens) / 1_000;
}
