import { type Agent, Dispatcher } from 'undici';
import { type Connect, newAgent } from '@/platform/paused-connection';
import { processState } from '@/platform/process-state';
import { proxyConnector } from '@/platform/proxy-connection';

const KEEP_ALIVE_MS = 30_000;

/** Of so many exits the connections are kept: a proxy per account, and some more. */
const KEPT_EXITS = 256;

interface Exits {
  /** The least recently used first. */
  agents: Map<string, Agent>;
  /** No longer used; their last answers still run. */
  closing: Set<Agent>;
}

function exits(): Exits {
  return processState<Exits>('exits', () => ({ agents: new Map(), closing: new Set() }));
}

/** An exit as long as anyone holds it; its connections may be closed and made anew meanwhile. */
class Exit extends Dispatcher {
  readonly #name: string;
  readonly #makeConnect: () => Connect;

  constructor(name: string, makeConnect: () => Connect) {
    super();
    this.#name = name;
    this.#makeConnect = makeConnect;
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    return agentOf(this.#name, this.#makeConnect).dispatch(options, handler);
  }
}

/**
 * The connections to the outside through `proxyUrl` (http, https or socks5, with credentials), or
 * direct when it is null: kept alive, TLS verified, `connectMs` to connect. They are shared by all of
 * the process that ask for the same; those of the exits that were not used for longest are closed
 * when there are very many, each when its last answer has ended. Not for the caller to close.
 */
export function dispatcherFor(proxyUrl: string | null, connectMs: number): Dispatcher {
  return keptDispatcher(`${connectMs} ${proxyUrl ?? 'direct'}`, () =>
    proxyUrl === null ? { timeout: connectMs } : proxyConnector(proxyUrl, connectMs),
  );
}

/** As `dispatcherFor`, for another way to connect: `name` tells it apart from all others. */
export function keptDispatcher(name: string, makeConnect: () => Connect): Dispatcher {
  return new Exit(name, makeConnect);
}

function agentOf(name: string, makeConnect: () => Connect): Agent {
  const { agents } = exits();
  const agent = agents.get(name) ?? newAgent(makeConnect(), { keepAliveTimeout: KEEP_ALIVE_MS });
  agents.delete(name);
  agents.set(name, agent);
  if (agents.size > KEPT_EXITS) retireOldest();
  return agent;
}

function retireOldest(): void {
  const { agents, closing } = exits();
  for (const [name, agent] of agents) {
    agents.delete(name);
    closing.add(agent);
    const forget = () => closing.delete(agent);
    agent.close().then(forget, forget);
    return;
  }
}

/** Closes all connections to the outside, at once. */
export async function closeDispatchers(): Promise<void> {
  const { agents, closing } = exits();
  const open = [...agents.values(), ...closing];
  agents.clear();
  closing.clear();
  await Promise.all(open.map((agent) => agent.destroy()));
}
