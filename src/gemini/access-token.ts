import { SignJWT } from 'jose';
import type { CancelSignal } from '@/platform/cancellation';
import type { GeminiConnection } from './client';
import { applySetCookies, type Cookies, cookieHeader } from './cookies';
import { type Flavour, flavourOf, type GeminiEndpoints } from './endpoints';
import { classifyReply, GeminiError, withoutJsonPrefix } from './errors';
import { readReply, type WholeReply } from './exchange';

export type { Cookies } from './cookies';

/** The bearer that we sign ourselves (protocol 5). */
export interface AccessToken {
  token: string;
  /** By the local clock, for caching. */
  expiresAtMs: number;
}

const lifeMs = 300_000;
const maxHops = 5;
const rotationPath = /refreshcookies|setocookie|getoxsrf/i;

/**
 * Signs the bearer of protocol 5.
 *
 * @param claims.xsrfToken base64url of the HMAC key, as the key host sends it.
 * @param claims.nowMs by the server's clock; the token holds for 300 s from then.
 */
export async function signAccessToken(claims: {
  keyId: string;
  xsrfToken: string;
  csesidx: string;
  flavour: Flavour;
  nowMs: number;
}): Promise<string> {
  const issuedAt = Math.floor(claims.nowMs / 1000);
  return new SignJWT({
    iss: claims.flavour.issuer,
    aud: claims.flavour.audience,
    sub: `csesidx/${claims.csesidx}`,
    iat: issuedAt,
    exp: issuedAt + lifeMs / 1000,
    nbf: issuedAt,
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: claims.keyId })
    .sign(Buffer.from(claims.xsrfToken, 'base64url'));
}

export interface MintOptions {
  connection: GeminiConnection;
  cookies: Cookies;
  csesidx: string;
  userAgent: string;
  /** Local clock. */
  nowMs: number;
  signal: CancelSignal;
  /**
   * Called and awaited at every change, so that new cookies outlive a failure of a later hop.
   * `expiresAtMs` is the end of `__Secure-C_SES` if a reply told it.
   */
  onCookies?: (cookies: Cookies, expiresAtMs: number | null) => void | Promise<void>;
}

export interface MintedToken {
  accessToken: AccessToken;
  /** Server's clock minus ours, to the second; 0 when the server did not tell. */
  clockSkewMs: number;
}

/**
 * Fetches a signing key with the cookies, following the rotation that the key host may ask for
 * (protocol 4), and signs an access token by the server's clock. All hops together have
 * `timeouts.keyMs`.
 *
 * @throws GeminiError `credential` when the sign-in is over or no key comes; `upstream` with reason
 *   `forbidden_redirect` when a hop leads outside the configured hosts; others by `classifyReply`.
 */
export async function mintAccessToken(options: MintOptions): Promise<MintedToken> {
  const { endpoints, timeouts } = options.connection;
  const startedAt = performance.now();
  let cookies = options.cookies;
  let cookieExpiresAtMs: number | null = null;
  let target = new URL(
    `${endpoints.appUrl}/auth/getoxsrf?csesidx=${encodeURIComponent(options.csesidx)}`,
  );
  for (let hop = 0; hop <= maxHops; hop++) {
    const leftMs = timeouts.keyMs - (performance.now() - startedAt);
    const reply = await fetchStep(options, cookies, target, leftMs);
    const receivedAtMs = Math.round(options.nowMs + performance.now() - startedAt);
    const update = applySetCookies(cookies, reply.headers['set-cookie'], receivedAtMs);
    cookies = update.cookies;
    cookieExpiresAtMs = update.expiresAtMs ?? cookieExpiresAtMs;
    if (update.changed) await options.onCookies?.(cookies, cookieExpiresAtMs);

    const step = readStep(reply, target, endpoints);
    if ('keyId' in step) return signWithKey(step, reply, options, receivedAtMs);
    target = step.next;
  }
  throw refused('The cookie rotation did not come to an end', 'TOO_MANY_HOPS');
}

function fetchStep(
  options: MintOptions,
  cookies: Cookies,
  target: URL,
  deadlineMs: number,
): Promise<WholeReply> {
  const { endpoints, dispatcher } = options.connection;
  const { origin } = flavourOf(endpoints);
  const headers = {
    cookie: cookieHeader(cookies),
    accept: '*/*',
    origin,
    referer: `${origin}/`,
    'user-agent': options.userAgent,
  };
  const url = `${target.origin}${target.pathname}${target.search}`;
  return readReply(
    dispatcher,
    { url, method: 'GET', headers, deadlineMs: Math.max(1, deadlineMs) },
    options.signal,
  );
}

interface SigningKey {
  keyId: string;
  xsrfToken: string;
}

/** What a reply of the key host leads to: the key, or the next address (protocol 4.2 to 4.4). */
function readStep(
  reply: WholeReply,
  from: URL,
  endpoints: GeminiEndpoints,
): SigningKey | { next: URL } {
  const { status, headers, bodyText } = reply;
  if (status >= 300 && status < 400 && headers.location !== undefined) {
    const next = parseUrl(headers.location, from);
    if (next === null || !rotationPath.test(next.pathname)) {
      throw refused('The key host redirected to the sign-in', 'SIGN_IN_REDIRECT');
    }
    return { next: checkOrigin(next, endpoints) };
  }
  if (status !== 200) {
    throw classifyReply({ status, bodyText, retryAfter: headers['retry-after'], call: 'key' });
  }
  const { keyId, xsrfToken, setocookieUrl } = parseFields(bodyText);
  if (typeof setocookieUrl === 'string') {
    const next = parseUrl(Buffer.from(setocookieUrl, 'base64url').toString(), from);
    if (next === null) throw refused('The cookie rotation named no address', 'NO_KEY');
    return { next: checkOrigin(next, endpoints) };
  }
  const isKey = typeof keyId === 'string' && typeof xsrfToken === 'string';
  if (isKey && Buffer.from(xsrfToken, 'base64url').length > 0) return { keyId, xsrfToken };
  throw refused('The key host answered without a key', 'NO_KEY');
}

/** Cookies go to the configured hosts only, and in clear only over loopback. */
function checkOrigin(url: URL, endpoints: GeminiEndpoints): URL {
  const { appUrl, authUrl, apiUrl, verifyUrl } = endpoints;
  const isConfigured = [appUrl, authUrl, apiUrl, verifyUrl].some(
    (base) => parseUrl(base)?.origin === url.origin,
  );
  const isLoopback = /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname);
  if (isConfigured && (url.protocol === 'https:' || isLoopback)) return url;
  throw new GeminiError('upstream', `The key host redirected to ${url.origin}, not one of ours`, {
    reason: 'forbidden_redirect',
  });
}

/**
 * Signs by the server's clock, which the `Date` header tells: a token from a clock that is ahead
 * would not be valid yet, one from a clock that is behind would be over too soon.
 */
async function signWithKey(
  key: SigningKey,
  reply: WholeReply,
  options: MintOptions,
  receivedAtMs: number,
): Promise<MintedToken> {
  const serverMs = Date.parse(reply.headers.date ?? '');
  const nowMs = Number.isFinite(serverMs) ? serverMs : receivedAtMs;
  const flavour = flavourOf(options.connection.endpoints);
  const token = await signAccessToken({ ...key, csesidx: options.csesidx, flavour, nowMs });
  return {
    accessToken: { token, expiresAtMs: receivedAtMs + lifeMs },
    clockSkewMs: nowMs - receivedAtMs,
  };
}

function parseFields(bodyText: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(withoutJsonPrefix(bodyText.trimStart())));
  } catch {
    return {};
  }
}

function parseUrl(text: string, base?: URL): URL | null {
  return URL.canParse(text, base) ? new URL(text, base) : null;
}

function refused(message: string, reason: string): GeminiError {
  return new GeminiError('credential', message, { reason });
}
