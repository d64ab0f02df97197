import { createServer } from 'node:http';
import { demoAccounts } from './accounts';
import { handleControl } from './control';
import { handleDownload } from './download';
import { Exchange } from './exchange';
import { googleError } from './google-error';
import { StandIn } from './handle';
import { handleKeyHost } from './key-host';
import { type StandInOptions, StandInState } from './state';
import { handleWidget } from './widget-api';

export type { StandIn, StandInOptions };

const keepAliveMs = 65_000;
const controlPrefix = '/__control/';

/**
 * Starts a second implementation of the upstream on 127.0.0.1 (upstream-protocol 27). One origin
 * plays all four hosts.
 */
export async function startStandIn(options: StandInOptions = {}): Promise<StandIn> {
  const seats = options.accounts ?? demoAccounts(3);
  const state = new StandInState(options, seats);
  const server = createServer({ keepAliveTimeout: keepAliveMs, requestTimeout: 0 });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', 4096, resolve);
  });
  const standIn = new StandIn(state, server, seats);
  server.on('request', (request, response) => {
    const exchange = new Exchange(request, response, state.clock);
    answer(exchange, state, standIn).catch((error) => {
      if (exchange.gone || request.readableAborted) return;
      console.error('stand-in:', error);
      exchange.send(500, 'text/plain', String(error));
    });
  });
  return standIn;
}

async function answer(exchange: Exchange, state: StandInState, standIn: StandIn): Promise<void> {
  if (exchange.path.startsWith(controlPrefix)) return handleControl(exchange, standIn);
  if (await handleWidget(exchange, state)) return;
  if (await handleDownload(exchange, state)) return;
  if (await handleKeyHost(exchange, state)) return;
  await state.arrive(exchange, 'other', null);
  exchange.json(404, googleError(404));
}
