/**
 * A pool without Google: the stand-in upstream, three demo accounts and an API key, in a data folder
 * of their own. Real accounts never meet the stand-in, and demo accounts never meet Google.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { run } from './bootstrap/child.mjs';
import { ensureMigrated } from './bootstrap/migrate.mjs';
import { at, root, ScriptFailure } from './bootstrap/project.mjs';

const keyName = 'demo';
const host = '127.0.0.1';
/** Settings of a real pool, which must not reach the demo's: empty counts as unset. */
const realSettings = ['DATABASE_URL', 'PROXY_URL', 'ENCRYPTION_KEY', 'API_KEY_ENCRYPTION_KEY'];
const upstreamNames = ['APP', 'AUTH', 'API', 'VERIFY'].map((host) => `GEMINI_${host}_URL`);
const healthLimitMs = 120_000;

/**
 * Reads the port and sets the environment for the demo's server and commands. Call it first.
 * A file `.env` is left out, as it belongs to the real pool.
 */
export function enterDemoPool(dataFolder) {
  const port = readPort();
  process.chdir(root);
  Object.assign(process.env, Object.fromEntries(realSettings.map((name) => [name, ''])));
  Object.assign(process.env, { HOST: host, PORT: port, DATA_DIR: at(dataFolder) });
}

/**
 * Starts the stand-in, which ends with this process, and fills the data folder.
 * @returns the API key, made anew.
 */
export async function fillDemoPool() {
  await ensureMigrated();
  const [url, key] = await Promise.all([startStandIn(), fillDataFolder()]);
  for (const name of upstreamNames) process.env[name] = url;
  return key;
}

/** Waits until the server answers, and shows how to talk to it. */
export async function showHowToCall(key) {
  const url = `http://${host}:${process.env.PORT}`;
  await untilHealthy(url);
  process.stdout.write(`
The demo pool answers: three accounts of a stand-in upstream, no Google behind them.

export KEY=${key}
curl ${url}/v1/chat/completions -H "Authorization: Bearer $KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "gemini-enterprise", "messages": [{"role": "user", "content": "Hello"}]}'

Base URL for OpenAI clients: ${url}/v1

Commands such as npm run account -- list reach it, while it runs, after:
export DATA_DIR=${process.env.DATA_DIR}
${upstreamNames.map((name) => `export ${name}=${process.env[name]}`).join('\n')}

Ctrl-C ends it.
`);
}

function readPort() {
  try {
    const { values } = parseArgs({
      options: { port: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help) {
      process.stdout.write('The only option is --port PORT (else the variable PORT, else 8000).\n');
      return process.exit(0);
    }
    const given = values.port ?? (process.env.PORT?.trim() || '8000');
    const port = Number(given);
    if (Number.isInteger(port) && port > 0 && port <= 65535) return given;
    throw new Error(`The port must be a number from 1 to 65535, not "${given}"`);
  } catch (error) {
    process.stderr.write(`${error.message}\n\nThe only option is --port PORT.\n`);
    return process.exit(2);
  }
}

async function startStandIn() {
  const child = spawn(process.execPath, ['--import', 'tsx', 'e2e/stand-in/main.ts'], {
    // A process group of its own: Ctrl-C must not end it before the server's last answer has.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  process.once('exit', () => child.kill());
  const exited = once(child, 'exit').then(([code]) => {
    throw new ScriptFailure(`The stand-in upstream ended (exit code ${code})`);
  });
  const url = await Promise.race([readUrl(child.stdout), exited]);
  exited.catch((error) => process.stderr.write(`${error.message}\n`));
  // Neither the child nor its channels keep this process alive.
  child.unref();
  child.channel.unref();
  child.stdout.unref();
  return url;
}

async function readUrl(stdout) {
  for await (const line of readline.createInterface({ input: stdout })) {
    const [, url] = /^stand-in listening on (\S+)/.exec(line) ?? [];
    if (url) return url;
  }
  throw new ScriptFailure('The stand-in upstream did not tell its address');
}

async function fillDataFolder() {
  const args = ['--import', 'tsx', at('scripts/demo-data.ts'), keyName];
  const { code, answer, output } = await run(process.execPath, args, { capture: true });
  if (code !== 0) throw new ScriptFailure(`The data folder could not be filled:\n${output}`);
  return answer.trimEnd().split('\n').at(-1);
}

async function untilHealthy(url) {
  const giveUpAt = Date.now() + healthLimitMs;
  while (Date.now() < giveUpAt) {
    const response = await fetch(`${url}/health`).catch(() => null);
    if (response?.ok) return;
    await sleep(100);
  }
  throw new ScriptFailure(`The server does not answer at ${url}`);
}
