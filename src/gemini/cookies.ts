const LONGEST_LIFE_MS = 400 * 86_400_000;

/** The two cookies of a sign-in (protocol 3). */
export interface Cookies {
  /** `__Secure-C_SES` */
  secureCSes: string;
  /** `__Host-C_OSES`; null when not known. */
  hostCOses: string | null;
}

export interface CookieUpdate {
  cookies: Cookies;
  changed: boolean;
  /** End of `__Secure-C_SES` by the reply's word; null when it does not tell. */
  expiresAtMs: number | null;
}

/** The `Cookie` header; an unknown cookie is left out (protocol 3.2). */
export function cookieHeader(cookies: Cookies): string {
  const secure = `__Secure-C_SES=${cookies.secureCSes}`;
  return cookies.hostCOses === null ? secure : `${secure}; __Host-C_OSES=${cookies.hostCOses}`;
}

/**
 * The cookies after a reply's `Set-Cookie` headers. Other cookies are ignored. `__Secure-C_SES`
 * being deleted changes nothing: what the server answers then tells whether the sign-in is over.
 *
 * @param nowMs local clock, which `expiresAtMs` follows for `Max-Age`.
 */
export function applySetCookies(
  cookies: Cookies,
  setCookie: string | string[] | undefined,
  nowMs: number,
): CookieUpdate {
  let { secureCSes, hostCOses } = cookies;
  let expiresAtMs: number | null = null;
  const lines = typeof setCookie === 'string' ? [setCookie] : (setCookie ?? []);
  for (const line of lines) {
    const cookie = parseSetCookie(line, nowMs);
    const isDeleted =
      cookie.value === '' || (cookie.expiresAtMs !== null && cookie.expiresAtMs <= nowMs);
    if (cookie.name === '__Host-C_OSES') {
      hostCOses = isDeleted ? null : cookie.value;
    } else if (cookie.name === '__Secure-C_SES' && !isDeleted) {
      secureCSes = cookie.value;
      expiresAtMs = cookie.expiresAtMs;
    }
  }
  const changed = secureCSes !== cookies.secureCSes || hostCOses !== cookies.hostCOses;
  return { cookies: changed ? { secureCSes, hostCOses } : cookies, changed, expiresAtMs };
}

function parseSetCookie(
  line: string,
  nowMs: number,
): { name: string; value: string; expiresAtMs: number | null } {
  const [pair = '', ...attributes] = line.split(';');
  const { name, value } = splitPair(pair);
  let expires: number | null = null;
  let maxAge: number | null = null;
  for (const attribute of attributes) {
    const field = splitPair(attribute);
    if (field.name.toLowerCase() === 'expires') {
      expires = Date.parse(field.value);
    } else if (field.name.toLowerCase() === 'max-age') {
      maxAge = nowMs + Number(field.value) * 1000;
    }
  }
  const end = maxAge ?? expires;
  // Browsers keep no cookie longer (RFC 6265bis); and beyond some age it is no date at all.
  const expiresAtMs =
    end === null || !Number.isFinite(end) ? null : Math.min(end, nowMs + LONGEST_LIFE_MS);
  return { name, value, expiresAtMs };
}

function splitPair(text: string): { name: string; value: string } {
  const equals = text.indexOf('=');
  if (equals === -1) return { name: text.trim(), value: '' };
  return { name: text.slice(0, equals).trim(), value: text.slice(equals + 1).trim() };
}
