import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newDataFolder, processesFolder, projectRoot } from './data-folder';
import { freePort } from './free-port';

/** `custom` is `npm start`'s server, `next` a plain `next start`. */
export type Way = 'custom' | 'next';

export interface ServerOptions {
  way?: Way;
  /** Base URL of a stand-in upstream; without one every call upstream fails at once. */
  standInUrl?: string;
  /** A folder of its own if not given; give the one of a stopped server to start that again. */
  dataDir?: string;
  /** Further variables; they win over all others. */
  env?: Record<string, string>;
}

export interface RunningServer {
  /** Without a slash at the end. */
  url: string;
  dataDir: string;
  pid: number;
  /** All that it has written to stdout and stderr so far. */
  output: () => string;
  /** Ends it by SIGTERM. The code is null when a signal ended it. Rejects after 45 s. */
  stop: () => Promise<{ exitCode: number | null }>;
  /** Ends it by SIGKILL, like a crash. */
  kill: () => Promise<void>;
}

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 45_000;
/** Nothing listens there. */
const NOWHERE = 'http://127.0.0.1:9';

/**
 * Starts the built server on a free port of the loopback address and waits until it answers.
 * @throws Error with the server's output if it ends, or does not answer within 30 s
 */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const port = await freePort();
  const dataDir = options.dataDir ?? newDataFolder();
  const child = spawn(process.execPath, commandLine(options.way ?? 'custom', port), {
    cwd: projectRoot,
    env: serverEnvironment({ ...options, dataDir }, port),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = collectOutput(child);
  endWithTheTests(child);
  const url = `http://127.0.0.1:${port}`;
  await untilHealthy(url, child, output);
  return {
    url,
    dataDir,
    pid: child.pid ?? 0,
    output,
    stop: async () => ({ exitCode: await end(child, 'SIGTERM', output) }),
    kill: async () => {
      await end(child, 'SIGKILL', output);
    },
  };
}

function commandLine(way: Way, port: number): string[] {
  if (way === 'custom') return [builtServer()];
  return ['node_modules/next/dist/bin/next', 'start', '-p', String(port), '-H', '127.0.0.1'];
}

function builtServer(): string {
  const file = path.join(projectRoot, 'dist/server.mjs');
  if (!fs.existsSync(file)) throw new Error('The server is not built: run "npm run build"');
  return file;
}

/** Little is taken over from the test's own environment: a developer's settings must not matter. */
function serverEnvironment(options: ServerOptions & { dataDir: string }, port: number) {
  const upstream = options.standInUrl ?? NOWHERE;
  return {
    ...inherited('PATH', 'HOME', 'TMPDIR', 'CHROMIUM_PATH'),
    NODE_ENV: 'production' as const,
    NEXT_TELEMETRY_DISABLED: '1',
    LOG_LEVEL: 'info',
    HOST: '127.0.0.1',
    PORT: String(port),
    DATA_DIR: options.dataDir,
    GEMINI_APP_URL: upstream,
    GEMINI_AUTH_URL: upstream,
    GEMINI_API_URL: upstream,
    GEMINI_VERIFY_URL: upstream,
    ...options.env,
  };
}

function inherited(...names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function collectOutput(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  }
  return () => text;
}

/** The end of the whole test run kills what is noted still. */
function endWithTheTests(child: ChildProcess): void {
  const note = path.join(processesFolder(), String(child.pid));
  fs.writeFileSync(note, '');
  child.once('exit', () => fs.rmSync(note, { force: true }));
}

async function untilHealthy(url: string, child: ChildProcess, output: () => string) {
  const giveUpAt = Date.now() + START_LIMIT_MS;
  for (;;) {
    if (hasEnded(child)) throw new Error(`The server ended (${child.exitCode}):\n${output()}`);
    const response = await fetch(`${url}/health`).catch(() => null);
    await response?.arrayBuffer();
    if (response?.ok) return;
    if (Date.now() > giveUpAt) {
      child.kill('SIGKILL');
      throw new Error(`The server does not answer:\n${output()}`);
    }
    await sleep(50);
  }
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL', output: () => string) {
  if (hasEnded(child)) return child.exitCode;
  const closed = once(child, 'close', { signal: AbortSignal.timeout(STOP_LIMIT_MS) });
  child.kill(signal);
  try {
    await closed;
  } catch {
    child.kill('SIGKILL');
    throw new Error(`The server does not stop:\n${output()}`);
  }
  return child.exitCode;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
