import type { FaultCall } from './accounts';
import { seedFile } from './accounts';
import type { Exchange } from './exchange';
import type { Fault } from './faults';
import type { StandIn } from './handle';
import { asRecord, asString, parseJson } from './json-value';
import { readQuotas } from './quotas';
import { describeFile } from './session-files';
import { shortName } from './sessions';

type Order = (standIn: StandIn, body: Record<string, unknown>, query: URLSearchParams) => unknown;

const orders: ReadonlyMap<string, Order> = new Map<string, Order>([
  ['GET counts', countsOf],
  ['GET usage', usageOf],
  ['GET log', (standIn, _, query) => entriesSince(standIn, Number(query.get('since') ?? 0))],
  ['GET sessions', sessionsOf],
  ['GET files', (standIn) => standIn.files.all.map(describeFile)],
  ['GET files/sha256', sumOf],
  ['GET streams', ({ openStreams, lockstep }) => ({ open: openStreams, lockstep })],
  ['GET accounts', (standIn) => standIn.accounts.all.map(describeAccount)],
  ['GET seed-file', (standIn) => seedFile(standIn.seats)],
  ['POST fault', orderFault],
  ['POST quotas', orderQuotas],
  ['POST reset', (standIn) => standIn.reset()],
  ['POST forget-sessions', (standIn) => standIn.sessions.clear()],
  ['POST models', orderModels],
  ['POST clock', orderClock],
  ['POST limits', orderLimits],
  ['POST lockstep/ack', (standIn, body) => ({ acknowledged: acknowledge(standIn, body) })],
]);

/** Orders to the stand-in over HTTP, for tests and scripts in another process. */
export async function handleControl(exchange: Exchange, standIn: StandIn): Promise<void> {
  const name = `${exchange.request.method} ${exchange.path.slice('/__control/'.length)}`;
  const order = orders.get(name);
  if (order === undefined) return exchange.json(404, { error: `no order ${name}` });
  try {
    const body = asRecord(parseJson(await exchange.readBody()));
    exchange.json(200, (await order(standIn, body, exchange.query)) ?? {});
  } catch (error) {
    exchange.json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function countsOf(standIn: StandIn): unknown {
  const names = standIn.accounts.all.map((account) => account.name);
  const countsOfName = (name: string) => {
    return { ...standIn.counts(name), concurrency: standIn.concurrency(name) };
  };
  return Object.fromEntries(names.map((name) => [name, countsOfName(name)]));
}

function usageOf(standIn: StandIn): unknown {
  const names = standIn.accounts.all.map((account) => account.name);
  return Object.fromEntries(names.map((name) => [name, standIn.usage(name)]));
}

function entriesSince(standIn: StandIn, since: number): unknown {
  return standIn.log.filter((entry) => entry.number > since);
}

function sessionsOf(standIn: StandIn): unknown {
  return standIn.sessions.all.map((session) => ({
    ...session,
    name: shortName(session),
    account: session.account.name,
  }));
}

async function sumOf(standIn: StandIn, _: unknown, query: URLSearchParams): Promise<unknown> {
  return { sha256: await standIn.files.sha256(query.get('fileId') ?? '') };
}

function describeAccount(account: StandIn['accounts']['all'][number]): unknown {
  const { name, csesidx, teamId, cookies } = account;
  return { name, csesidx, team_id: teamId, ...cookies };
}

function orderFault(standIn: StandIn, body: Record<string, unknown>): void {
  const account = asString(body.account) ?? '*';
  standIn.setFault(account, body.fault === null ? null : readFault(asRecord(body.fault)));
}

function readFault(value: Record<string, unknown>): Fault {
  const scenario = asString(value.scenario);
  if (scenario === null) throw new Error('a fault needs a scenario');
  const on = (Array.isArray(value.on) ? value.on : [value.on]) as FaultCall[];
  return {
    on,
    scenario,
    ...(typeof value.times === 'number' && { times: value.times }),
    ...(typeof value.forMs === 'number' && { forMs: value.forMs }),
  };
}

function orderQuotas(standIn: StandIn, body: Record<string, unknown>): void {
  const limits = body.quotas === null ? null : readQuotas(body.quotas);
  const options = body.reason === undefined ? {} : { reason: asString(body.reason) };
  standIn.setQuotas(asString(body.account) ?? '*', limits, options);
}

function orderModels(standIn: StandIn, body: Record<string, unknown>): void {
  const { models } = body;
  if (models !== null && !Array.isArray(models)) throw new Error('models must be a list or null');
  standIn.setModels(asString(body.account) ?? '*', models === null ? null : models.map(String));
}

function orderClock(standIn: StandIn, body: Record<string, unknown>): void {
  if (typeof body.offsetMs !== 'number') throw new Error('offsetMs must be a number');
  standIn.clock.offsetMs = body.offsetMs;
}

function orderLimits(standIn: StandIn, body: Record<string, unknown>): void {
  if (typeof body.promptLimitCharacters === 'number') {
    standIn.promptLimitCharacters = body.promptLimitCharacters;
  }
  if (typeof body.fileLimitBytes === 'number') standIn.fileLimitBytes = body.fileLimitBytes;
  if (typeof body.latencyMs === 'number') standIn.latencyMs = body.latencyMs;
}

function acknowledge(standIn: StandIn, body: Record<string, unknown>): boolean {
  return standIn.ackPiece(asString(body.id) ?? 'default');
}
