import { callerSignal } from '@/api/caller-signal';
import type { Call } from '@/api/openai/endpoint';
import { publicUrlOf } from '@/api/public-url';
import type { Caller } from '@/features/chat/completion';
import { settings } from '@/features/settings/settings';

/** Who asks by this call, and how. */
export async function callerOf({ key, request, record }: Call): Promise<Caller> {
  const { publicUrl } = await settings();
  let mediaBaseUrl: string | null = null;
  let inlineBytes = 0;
  return {
    key,
    languageCode: languageOf(request.headers.get('accept-language')),
    mediaBaseUrl() {
      mediaBaseUrl ??= publicUrlOf(request, publicUrl);
      return mediaBaseUrl;
    },
    mayInline(bytes) {
      if (!record.answerShare.mayHold(inlineBytes + bytes)) return false;
      inlineBytes += bytes;
      return true;
    },
    signal: callerSignal(request),
    trace: record.trace,
  };
}

/** The first language of an Accept-Language header, which the upstream is told; `en-US` without one. */
function languageOf(header: string | null): string {
  return (
    /^\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)\s*(?:[,;]|$)/.exec(header ?? '')?.[1] ?? 'en-US'
  );
}
