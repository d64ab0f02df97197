import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import next from 'next';
import { toNodeHandler } from 'srvx/node';
import { refusePage, toOriginForm } from '@/api/page-guard';
import type { Endpoint } from '@/api/reply';
import { endpointFor } from '@/api/routes';
import { toErrorBody } from '@/openai/errors';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { reportFatal } from '@/platform/fatal';
import { beginDraining, cutOpenWork } from '@/platform/lifecycle';
import { captureConsole, log } from '@/platform/log';
import { shutDown, startUp } from '@/start-up';
import { nextSteps, welcome } from '@/welcome';

const DRAIN_MS = 30_000;
const SWEEP_EVERY_MS = 50;
const CUT_MS = 1_000;
// Balancers keep idle connections for a minute; ours must outlive theirs.
const KEEP_ALIVE_MS = 75_000;
// What is left of a request whose answer is complete is thrown away for so long.
const DISCARD_MS = 10_000;
// The largest file may come over a slow line.
const REQUEST_MS = 3_600_000;

const FAILED = JSON.stringify(toErrorBody(new AppError('internal', 'The server failed.')));

/** The custom server: our own lane for programs, Next for pages and the rest. */
async function main(): Promise<void> {
  const { host, port } = env();
  // biome-ignore lint/style/noProcessEnv: the mode of Next, which the scripts set.
  const dev = process.env.NODE_ENV === 'development';
  if (!dev) captureConsole();
  await startUp();
  const steps = await nextSteps();
  // Next would hang a listener on our server that keeps every socket which asks for an upgrade; it
  // gets one of its own that never listens, unless its development client needs the upgrade.
  const app = next({ dev, hostname: host, port, ...(!dev && { httpServer: createServer() }) });
  await app.prepare();
  const pages = app.getRequestHandler();
  const listener: RequestListener = (request, response) => {
    request.url = toOriginForm(request.url ?? '/');
    endUnread(request, response);
    const handled = (laneOf(request) ?? guarded(pages))(request, response);
    // A handler that rejects would otherwise end the process.
    Promise.resolve(handled).catch((error) => {
      log().error({ err: error }, 'request handler failed');
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { 'content-type': 'application/json' }).end(FAILED);
    });
  };
  const limits = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_MS };
  const server = createServer(limits, listener);
  server.on('error', (error: NodeJS.ErrnoException) => {
    reportFatal(error.code === 'EADDRINUSE' ? portTaken(port) : error);
  });
  server.listen(port, host, () => {
    const address = server.address() as AddressInfo;
    process.stdout.write(welcome(host, address.port, steps));
    log().info({ host, port: address.port }, 'listening');
  });
  stopOnSignal(server);
}

const lanes = new Map<Endpoint, RequestListener>();

/** The endpoint of a request as a Node handler; null for what is Next's. */
function laneOf({ url = '/' }: IncomingMessage): RequestListener | null {
  const end = url.indexOf('?');
  const endpoint = endpointFor(end < 0 ? url : url.slice(0, end));
  if (!endpoint) return null;
  const known = lanes.get(endpoint);
  if (known) return known;
  const lane = toNodeHandler(endpoint) as RequestListener;
  lanes.set(endpoint, lane);
  return lane;
}

/** Next's handler for what may reach it. */
function guarded(pages: RequestListener): RequestListener {
  return (request, response) => {
    const refusal = refusePage(request);
    if (!refusal) return pages(request, response);
    response.writeHead(refusal.status, refusal.headers).end();
  };
}

/** A body that nobody wants may not hold its connection for long. */
function endUnread(request: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    if (request.complete) return;
    const timer = setTimeout(() => request.destroy(), DISCARD_MS);
    request.once('close', () => clearTimeout(timer));
  });
}

function portTaken(port: number): string {
  return `Port ${port} is taken by another program. Choose another one: npm start -- --port ${port + 1}`;
}

/**
 * SIGTERM or SIGINT: no new requests; open answers end whole within the limit, at a second signal or
 * after it they are cut, each with an error; then all is flushed.
 */
function stopOnSignal(server: Server): void {
  let signals = 0;
  const stop = async (signal: string) => {
    log().info({ signal }, 'stopping: open answers may end');
    beginDraining();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A connection whose answer has ended would be kept alive, and the stop would wait for it.
    const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_EVERY_MS);
    const limit = setTimeout(() => cut(server), DRAIN_MS);
    await closed;
    clearInterval(sweep);
    clearTimeout(limit);
    await shutDown();
    log().info('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals === 1) void stop(signal).catch(reportFatal);
      else cut(server);
    });
  }
}

/** Ends what is still under way with an error, and the connections that do not take it. */
function cut(server: Server): void {
  log().warn('stopping: what is still under way is cut');
  cutOpenWork();
  setTimeout(() => server.closeAllConnections(), CUT_MS);
}

main().catch(reportFatal);
