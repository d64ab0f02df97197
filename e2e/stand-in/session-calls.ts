import type { StandInAccount } from './accounts';
import type { Exchange } from './exchange';
import { googleError } from './google-error';
import { asRecord, asString } from './json-value';
import { replyFailures } from './reply-failures';
import { type StandInSession, shortName } from './sessions';
import type { StandInState } from './state';

const defaultPageSize = 100;

/** A widget call from an account that has proved itself, with an envelope in order. */
export interface WidgetCall {
  exchange: Exchange;
  state: StandInState;
  account: StandInAccount;
  /** The `<verb>Request` object. */
  request: Record<string, unknown>;
}

/** True for a scenario that the create call can be told to play. */
export function isSessionFault(name: string): boolean {
  return replyFailures.has(name) || name === 'silence' || name === 'no-name';
}

/** widgetCreateSession: the id is the server's, whatever name was asked (upstream-protocol 8.1). */
export async function createSession(call: WidgetCall): Promise<void> {
  const { exchange, state, account } = call;
  const fault = account.takeFault('createSession');
  const failure = replyFailures.get(fault?.name ?? '');
  if (fault !== null && failure !== undefined) return failure(exchange, fault);
  if (fault?.name === 'no-name') return exchange.json(200, { session: {} });
  if (fault?.name === 'silence') await exchange.sleep(fault.number('ms', 1000));
  const wish = asString(asRecord(call.request.session).displayName) ?? '';
  const session = state.sessions.create(account, wish, state.clock.now());
  exchange.json(200, { session: { name: shortName(session) } });
}

/** widgetDeleteSession. */
export function deleteSession(call: WidgetCall): void {
  const session = ownSession(call, asString(call.request.name) ?? '');
  if (session === null) return;
  call.state.sessions.delete(session);
  call.exchange.json(200, {});
}

/** widgetListSessions: the account's own, newest first, in pages. */
export function listSessions({ exchange, state, account, request }: WidgetCall): void {
  const own = state.sessions.all
    .filter((session) => session.account === account)
    .sort((a, b) => b.updatedAt - a.updatedAt);
  const start = Number(asString(request.pageToken) ?? 0) || 0;
  const pageSize = typeof request.pageSize === 'number' ? request.pageSize : defaultPageSize;
  const end = start + Math.max(1, pageSize);
  const sessions = own.slice(start, end).map((session) => ({
    name: shortName(session),
    displayName: session.displayName,
    startTime: new Date(session.startedAt).toISOString(),
    endTime: new Date(session.updatedAt).toISOString(),
    state: 'IN_PROGRESS',
  }));
  const next = end < own.length ? { nextPageToken: String(end) } : {};
  exchange.json(200, { listSessionsResponse: { sessions, ...next }, uToken: account.uToken });
}

/** The named session when it is this account's; else the refusal is sent and null returned. */
export function ownSession(call: WidgetCall, name: string): StandInSession | null {
  const session = call.state.sessions.find(name);
  if (session === null) {
    call.exchange.json(404, googleError(404, `Session ${name} not found.`));
    return null;
  }
  if (session.account === call.account) return session;
  call.exchange.json(403, googleError(403, 'Session is not owned by the provided user'));
  return null;
}
