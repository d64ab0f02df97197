import type { StandInAccount } from './accounts';
import type { CallName } from './call-log';
import type { Directive } from './directive';
import type { Exchange } from './exchange';
import { type ReplyFailure, replyFailures, retryAfter } from './reply-failures';
import type { StandInState } from './state';

const guardPrefix = ")]}'\n";
const cookieAttributes = 'Path=/; Secure; HttpOnly; SameSite=Lax';
const defaultForeignOrigin = 'https://foreign.invalid';

const calls: Record<string, CallName> = {
  '/auth/getoxsrf': 'key',
  '/auth/refreshcookies': 'refreshcookies',
  '/auth/setocookie': 'setocookie',
};

/** Scenarios that make the key host ask for a rotation (upstream-protocol 4.4). */
const rotations = new Set(['rotation', 'rotation-loop', 'rotation-foreign', 'rotation-broken']);

const keyFailures: ReadonlyMap<string, ReplyFailure> = new Map<string, ReplyFailure>([
  ...replyFailures,
  ['expired-sign-in', (exchange) => refuse(exchange, 'EXPIRED_SIGN_IN')],
  ['invalid-cookies', (exchange) => refuse(exchange, 'INVALID_COOKIES')],
  ['sign-in-redirect', (exchange) => redirect(exchange, signInAddress(exchange))],
  ['no-key', (exchange) => sendGuarded(exchange, 200, { xsrfToken: 'AAECAwQFBgcICQ' })],
  ['http', sendFlatError],
  ['object', sendFlatError],
]);

/** True for a scenario that the key call can be told to play. */
export function isKeyFault(name: string): boolean {
  return (
    keyFailures.has(name) || rotations.has(name) || name === 'silence' || name === 'set-cookie'
  );
}

/** How often a fault of the key call is played when nobody says so: one rotation, else no end. */
export function defaultKeyFaultTimes(name: string): number {
  return name === 'rotation' ? 1 : Number.POSITIVE_INFINITY;
}

/** The app and auth hosts: signing key and cookie rotation. False when the path is none of theirs. */
export async function handleKeyHost(exchange: Exchange, state: StandInState): Promise<boolean> {
  if (exchange.path === '/login') {
    exchange.send(200, 'text/html; charset=utf-8', '<!doctype html>\n<title>Sign in</title>\n');
    return true;
  }
  const call = calls[exchange.path];
  if (call === undefined) return false;
  const account = state.accounts.byCsesidx(exchange.query.get('csesidx') ?? '');
  const verdict = account?.judgeCookies(exchange.request.headers.cookie) ?? null;
  await state.arrive(exchange, call, account, { refusal: verdict });
  if (account === null) refuse(exchange, 'INVALID_COOKIES');
  else if (call === 'key') await answerKey(exchange, state, account);
  else if (verdict !== null) refuse(exchange, verdict);
  else if (call === 'refreshcookies') answerRefresh(exchange, account);
  else answerSetCookie(exchange, state, account);
  return true;
}

async function answerKey(
  exchange: Exchange,
  state: StandInState,
  account: StandInAccount,
): Promise<void> {
  const fault = account.takeFault('key');
  const failure = keyFailures.get(fault?.name ?? '');
  if (fault !== null && failure !== undefined) return failure(exchange, fault);
  if (fault?.name === 'silence') await exchange.sleep(fault.number('ms', 1000));
  if (fault !== null && rotations.has(fault.name)) account.rotation = fault;
  const verdict = account.judgeCookies(exchange.request.headers.cookie);
  if (verdict !== null) return refuse(exchange, verdict);
  const { rotation } = account;
  if (rotation !== null) return redirect(exchange, refreshAddress(exchange, account, rotation));
  sendKey(exchange, state, account, fault?.name === 'set-cookie' ? fault : null);
}

function answerRefresh(exchange: Exchange, account: StandInAccount): void {
  const { rotation } = account;
  const origin = foreignOrigin(rotation, 'setocookie') ?? exchange.origin;
  const query = `csesidx=${account.csesidx}&st=${account.issueRotationTicket()}`;
  const address = Buffer.from(`${origin}/auth/setocookie?${query}`).toString('base64url');
  const isBroken = rotation?.name === 'rotation-broken';
  sendGuarded(exchange, 200, isBroken ? {} : { setocookieUrl: address });
}

function answerSetCookie(exchange: Exchange, state: StandInState, account: StandInAccount): void {
  const { rotation } = account;
  const alsoSecure = rotation?.flag('secure') ?? false;
  const maxAgeSeconds = rotation?.text('max-age') ?? null;
  if (!account.rotate(exchange.query.get('st'), alsoSecure)) {
    refuse(exchange, 'INVALID_COOKIES');
    return;
  }
  const headers = { 'set-cookie': cookieHeaders(account, alsoSecure, maxAgeSeconds) };
  const origin = foreignOrigin(rotation, 'key') ?? exchange.origin;
  if (rotation?.flag('direct')) sendGuarded(exchange, 200, state.keys.issue(account), headers);
  else redirect(exchange, `${origin}/auth/getoxsrf?csesidx=${account.csesidx}`, headers);
}

function sendKey(
  exchange: Exchange,
  state: StandInState,
  account: StandInAccount,
  renewCookies: Directive | null,
): void {
  const headers =
    renewCookies === null
      ? {}
      : { 'set-cookie': cookieHeaders(account, true, renewCookies.text('max-age') ?? '43200') };
  sendGuarded(exchange, 200, state.keys.issue(account), headers);
}

function cookieHeaders(
  account: StandInAccount,
  alsoSecure: boolean,
  maxAgeSeconds: string | null,
): string[] {
  const { secure_c_ses, host_c_oses } = account.cookies;
  const age = maxAgeSeconds === null ? '' : `; Max-Age=${maxAgeSeconds}`;
  const host = `__Host-C_OSES=${host_c_oses}; ${cookieAttributes}${age}`;
  return alsoSecure ? [`__Secure-C_SES=${secure_c_ses}; ${cookieAttributes}${age}`, host] : [host];
}

function refreshAddress(exchange: Exchange, account: StandInAccount, rotation: Directive): string {
  const origin = foreignOrigin(rotation, 'refreshcookies') ?? exchange.origin;
  return `${origin}/auth/refreshcookies?csesidx=${account.csesidx}`;
}

function foreignOrigin(rotation: Directive | null, hop: string): string | null {
  if (rotation?.name !== 'rotation-foreign') return null;
  if ((rotation.text('hop') ?? 'refreshcookies') !== hop) return null;
  return rotation.text('to') ?? defaultForeignOrigin;
}

function signInAddress(exchange: Exchange): string {
  return `${exchange.origin}/login?continueUrl=${encodeURIComponent(`${exchange.origin}/`)}`;
}

function redirect(
  exchange: Exchange,
  location: string,
  headers: Record<string, string[]> = {},
): void {
  exchange.send(302, 'text/html; charset=utf-8', '', { location, ...headers });
}

function refuse(exchange: Exchange, status: 'INVALID_COOKIES' | 'EXPIRED_SIGN_IN'): void {
  const message = status === 'EXPIRED_SIGN_IN' ? 'Session has expired.' : 'Invalid cookies.';
  sendGuarded(exchange, 401, { message, status });
}

/** The key host's errors are flat, unlike Google's error object (upstream-protocol 4.3). */
function sendFlatError(exchange: Exchange, directive: Directive): void {
  const message = directive.text('message') ?? 'Refused.';
  const status = directive.text('reason') ?? 'UNKNOWN';
  const code = directive.number('status', 500);
  sendGuarded(exchange, code, { message, status }, retryAfter(directive));
}

function sendGuarded(
  exchange: Exchange,
  status: number,
  value: unknown,
  headers: Record<string, string | string[]> = {},
): void {
  const body = `${guardPrefix}${JSON.stringify(value)}`;
  exchange.send(status, 'application/json; charset=utf-8', body, headers);
}
