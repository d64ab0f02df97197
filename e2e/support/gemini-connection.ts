import type { Dispatcher } from 'undici';
import type { GeminiConnection } from '@/gemini/client';

/** The way to an upstream whose four hosts are one, with 5 s for each wait that is not given. */
export function connectionTo(
  url: string,
  dispatcher: Dispatcher,
  timeouts: Partial<GeminiConnection['timeouts']> = {},
): GeminiConnection {
  return {
    endpoints: { appUrl: url, authUrl: url, apiUrl: url, verifyUrl: url },
    dispatcher,
    timeouts: {
      keyMs: 5000,
      sessionMs: 5000,
      firstContentMs: 5000,
      idleMs: 5000,
      uploadMs: 5000,
      downloadIdleMs: 5000,
      downloadMs: 5000,
      ...timeouts,
    },
  };
}
