import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { demoAccounts, seedFile } from '../../e2e/stand-in/accounts';
import { createKey } from '../../e2e/support/commands';
import { makeDataFolder, projectRoot } from '../../e2e/support/data-folder';
import { freePort } from '../../e2e/support/free-port';
import { bundlePrograms, nextMessage, programFile, startNode, stopNode } from './children';
import type { LoadJob, LoadReport, LoadResult } from './load-job';

const ACCOUNTS = 3;
const START_LIMIT_MS = 30_000;
const LOG_TAIL_CHARACTERS = 3_000;
/** Settings of a real pool, which must not reach the bench's: empty counts as unset. */
const noRealSettings = { PROXY_URL: '', ENCRYPTION_KEY: '', API_KEY_ENCRYPTION_KEY: '' };

/** A program under measurement. */
export interface Program {
  child: ChildProcess;
  pid: number;
  url: string;
}

/** All that a bench needs, each part a process of its own. */
export interface Equipment {
  standIn: Program;
  loadGenerator: ChildProcess;
  /** An API key of the servers that `startServer` starts. */
  key: string;
  /** Of the server's data and log; goes with this process. */
  folder: string;
  close(): Promise<void>;
}

/** Starts the stand-in upstream and the load generator, and fills a data folder for the server. */
export async function setUp(): Promise<Equipment> {
  await bundlePrograms();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pool-bench-'));
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const standIn = await startStandIn();
  const loadGenerator = startNode([programFile('load-generator')]);
  return {
    standIn,
    loadGenerator,
    key: await fillDataFolder(dataFolderIn(folder)),
    folder,
    async close() {
      await Promise.all([stopNode(standIn.child), stopNode(loadGenerator)]);
    },
  };
}

/** Starts the built server, with its log in a file; `nodeOptions` come before the script. */
export async function startServer(
  { standIn, folder }: Equipment,
  nodeOptions: string[] = [],
): Promise<Program> {
  const port = await freePort();
  const logFile = path.join(folder, 'server.log');
  const log = fs.openSync(logFile, 'a');
  const child = startNode([...flagsOfStart(), ...nodeOptions, 'dist/server.mjs'], {
    env: {
      NEXT_TELEMETRY_DISABLED: '1',
      LOG_LEVEL: 'info',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: dataFolderIn(folder),
      GEMINI_APP_URL: standIn.url,
      GEMINI_AUTH_URL: standIn.url,
      GEMINI_API_URL: standIn.url,
      GEMINI_VERIFY_URL: standIn.url,
    },
    stdio: ['ignore', log, log, 'ipc'],
  });
  fs.closeSync(log);
  const url = `http://127.0.0.1:${port}`;
  if (!(await isHealthy(child, url))) {
    const tail = fs.readFileSync(logFile, 'utf8').slice(-LOG_TAIL_CHARACTERS);
    throw new Error(`The server does not answer:\n${tail}`);
  }
  return programOf(child, url);
}

/** What `npm start` gives to Node. */
function flagsOfStart(): string[] {
  const { scripts } = JSON.parse(fs.readFileSync(path.join(projectRoot, 'package.json'), 'utf8'));
  return scripts.start.split(' ').filter((word: string) => word.startsWith('--'));
}

/** Starts the bare pass-through. */
export async function startPassThrough({ standIn }: Equipment): Promise<Program> {
  const child = startNode([programFile('pass-through'), standIn.url]);
  const { url } = await nextMessage<{ url: string }>(child);
  return programOf(child, url);
}

/**
 * Has the load generator do a job. `onOpen` is called when each client has its first byte.
 * @throws Error if any request failed or any answer was not whole
 */
export function runLoad(
  { loadGenerator }: Equipment,
  job: LoadJob,
  onOpen: () => void = () => {},
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void) => {
      loadGenerator.off('message', onReport).off('exit', onExit);
      end();
    };
    const onReport = (report: LoadReport) => {
      if (report.type === 'open') onOpen();
      else if (report.type === 'done') settle(() => resolve(report.result));
      else settle(() => reject(new Error(report.message)));
    };
    const onExit = () => settle(() => reject(new Error('The load generator ended')));
    loadGenerator.on('message', onReport).once('exit', onExit);
    loadGenerator.send(job);
  });
}

async function startStandIn(): Promise<Program> {
  const args = ['e2e/stand-in/main.ts', '--no-texts', '--accounts', String(ACCOUNTS)];
  const child = startNode(['--import', 'tsx', ...args], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  if (!child.stdout) throw new Error('The stand-in has no output');
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const [, url] = /^stand-in listening on (\S+)/.exec(line) ?? [];
    if (url) return programOf(child, url);
  }
  throw new Error('The stand-in did not tell its address');
}

/** Makes a database, an account file that the first start takes in, and an API key. */
async function fillDataFolder(dataDir: string): Promise<string> {
  makeDataFolder(dataDir);
  const file = path.join(dataDir, 'business_gemini_session.json');
  fs.writeFileSync(file, JSON.stringify(seedFile(demoAccounts(ACCOUNTS))));
  return createKey(dataDir, 'bench', { env: noRealSettings });
}

async function isHealthy(child: ChildProcess, url: string): Promise<boolean> {
  const giveUpAt = Date.now() + START_LIMIT_MS;
  while (Date.now() < giveUpAt && child.exitCode === null) {
    const response = await fetch(`${url}/health`).catch(() => null);
    await response?.arrayBuffer();
    if (response?.ok) return true;
    await sleep(50);
  }
  return false;
}

function programOf(child: ChildProcess, url: string): Program {
  return { child, pid: child.pid ?? 0, url };
}

/** The server's data folder. */
export function dataFolderIn(folder: string): string {
  return path.join(folder, 'data');
}
