import type { Trace } from '@/features/accounts/pool';
import type { TokenUsage } from '@/features/chat/completion';
import type { ApiKey } from '@/features/keys/keys';
import { logRequest } from '@/features/usage/usage';
import { log } from '@/platform/log';

/** What is gathered of a call while it runs, for its row and its line in the log. */
export interface RequestRecord {
  trace: Trace;
  model: string | null;
  stream: boolean;
  /** Asked when the call ends. */
  usage: (() => TokenUsage) | null;
  /** Notes that the first content is on its way to the caller. */
  firstByte(): void;
  /** Writes row and line, once. */
  finish(status: number, code: string | null): void;
}

const noUsage: TokenUsage = { promptTokens: 0, completionTokens: 0, reasoningTokens: 0 };

/** Begins the record of a call. */
export function startRecord(
  endpoint: string,
  requestId: string,
  key: ApiKey,
  startedAtMs: number,
): RequestRecord {
  let firstByteMs: number | null = null;
  let finished = false;
  const record: RequestRecord = {
    trace: { tries: 0, accountId: null, fault: null },
    model: null,
    stream: false,
    usage: null,
    firstByte() {
      firstByteMs ??= Date.now() - startedAtMs;
    },
    finish(status, code) {
      if (finished) return;
      finished = true;
      const { tries, accountId, fault } = record.trace;
      const { promptTokens, completionTokens, reasoningTokens } = record.usage?.() ?? noUsage;
      const durationMs = Date.now() - startedAtMs;
      const { model, stream } = record;
      logRequest({
        startedAtMs,
        requestId,
        apiKeyId: key.id,
        endpoint,
        model,
        stream,
        status,
        code,
        fault,
        accountId,
        tries,
        firstByteMs,
        durationMs,
        promptTokens,
        completionTokens,
        reasoningTokens,
      });
      log().info(
        {
          requestId,
          key: key.name,
          model,
          stream,
          status,
          code,
          tries,
          durationMs,
          completionTokens,
        },
        'request',
      );
    },
  };
  return record;
}
