import { settings } from '@/features/settings/settings';
import type { GeminiError } from '@/gemini/errors';
import { Exchange } from '@/gemini/exchange';
import { env } from '@/platform/env';
import { dispatcherFor } from '@/platform/http';
import { exitName } from '@/platform/proxy-url';

/** What came of asking the upstream's app host through an exit. Nothing in it is secret. */
export interface ExitTest {
  /** `direct`, or the proxy's scheme, host and port. */
  name: string;
  /** True if any answer came, whatever its status. */
  reached: boolean;
  /** Until the answer began, or the failure. */
  latencyMs: number;
  status: number | null;
  /** One word for the failure, such as `PROXY_AUTH`. */
  reason: string | null;
  /** The failure in a sentence. */
  message: string | null;
  /** What to do, in a sentence; null: nothing. */
  mend: string | null;
}

const LIMIT_MS = 10_000;

/**
 * Asks the app host of the upstream for its first page through `proxyUrl`, null: direct. Takes 10 s
 * at most, and connects within the time that the settings give every request. Never fails itself.
 */
export async function testExit(proxyUrl: string | null): Promise<ExitTest> {
  const { connectTimeoutMs } = await settings();
  const name = exitName(proxyUrl);
  const startedAtMs = performance.now();
  const { status, failure } = await askAppHost(proxyUrl, connectTimeoutMs);
  const latencyMs = Math.round(performance.now() - startedAtMs);
  return {
    name,
    reached: failure === null,
    latencyMs,
    status,
    reason: failure?.reason ?? failure?.fault ?? null,
    message: failure?.message ?? null,
    mend: failure ? mendOf(failure) : mendOfStatus(status),
  };
}

type Answer = { status: number; failure: null } | { status: null; failure: GeminiError };

function askAppHost(proxyUrl: string | null, connectMs: number): Promise<Answer> {
  const request = {
    url: `${env().geminiAppUrl}/`,
    method: 'GET' as const,
    headers: { accept: 'text/html', 'user-agent': 'Mozilla/5.0' },
    deadlineMs: LIMIT_MS,
    idleMs: 0,
  };
  return new Promise((resolve) => {
    const dispatcher = dispatcherFor(proxyUrl, connectMs);
    const exchange: Exchange = new Exchange(dispatcher, request, new AbortController().signal, {
      onHead(status) {
        exchange.drain();
        resolve({ status, failure: null });
        return { onChunk() {}, onEnd() {}, onFailure() {} };
      },
      onFailure: (failure) => resolve({ status: null, failure }),
    });
  });
}

/** By reason and message: the first that fits. */
const mends: [RegExp, (host: string) => string][] = [
  [
    /^PROXY_UNREACHABLE.*(CERT|SELF_SIGNED|UNABLE_TO)/,
    () =>
      "Nobody vouches for the proxy's certificate: name its authority's file in NODE_EXTRA_CA_CERTS.",
  ],
  [/^PROXY_UNREACHABLE/, () => 'Check that the proxy runs, and its scheme, host and port.'],
  [
    /^PROXY_AUTH/,
    () =>
      "Check the proxy's user name and password; in its URL @ : / % are written %40 %3A %2F %25.",
  ],
  [/^PROXY_NO_ROUTE/, (host) => `Let the proxy reach ${host}, or take another one.`],
  [
    /CERT|SELF_SIGNED|UNABLE_TO/,
    () =>
      'Something on the way shows a certificate of its own: if it is yours, name its authority in NODE_EXTRA_CA_CERTS, else take another exit.',
  ],
  [
    /^(timeout|connection_lost|bad_http)/,
    (host) => `The way is there, but ${host} does not answer: try later, or take another exit.`,
  ],
  [/^/, (host) => `Check that this machine finds and reaches ${host}, or set a proxy.`],
];

function mendOf({ reason, message }: GeminiError): string {
  const text = `${reason} ${message}`;
  const mend = mends.find(([pattern]) => pattern.test(text))?.[1];
  return mend?.(new URL(env().geminiAppUrl).host) ?? '';
}

/** Protocol 17.1: an address can be limited, and then every account is refused on it. */
function mendOfStatus(status: number | null): string | null {
  return status === 403 || status === 429
    ? `The upstream answers ${status}: it may not like the address of this exit. Try another one.`
    : null;
}
