/**
 * `npm start`: does what is missing (install, generate, build, migrate), then becomes the server.
 *
 * The server runs in this very process, and package.json says `exec node …`, so that a signal to npm
 * reaches it: spawned through a shell it would live on as an orphan.
 */
import { parseArgs } from 'node:util';
import { ensureBuilt } from './bootstrap/build.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { ensureMigrated } from './bootstrap/migrate.mjs';
import { loadEnvironment, root, runMain, urlOf } from './bootstrap/project.mjs';
import { refuseIfServerRuns } from './bootstrap/running.mjs';

const help = `Usage: npm start -- [options]

  --host HOST   address to listen on (HOST; default 0.0.0.0, all addresses)
  --port PORT   port to listen on (PORT; default 8000)
  --headless    sign in with a browser without a window
  --headed      sign in with a browser in a window
  --help        show this text

All other settings are environment variables, which may stand in a file .env: see .env.example.
`;

const options = {
  host: { type: 'string' },
  port: { type: 'string' },
  headless: { type: 'boolean' },
  headed: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
};

function readOptions() {
  try {
    const { values } = parseArgs({ options });
    if (values.headless && values.headed) throw new Error('Choose one of --headless and --headed');
    if (values.port !== undefined && !isPort(values.port)) {
      throw new Error(`--port must be a number from 0 to 65535, not "${values.port}"`);
    }
    if (values.host === '') throw new Error('--host needs an address');
    return values;
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${help}`);
    return process.exit(2);
  }
}

function isPort(text) {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535;
}

function applyOptions({ host, port, headless, headed }) {
  if (host !== undefined) process.env.HOST = host;
  if (port !== undefined) process.env.PORT = port;
  if (!headless && !headed) return;
  process.env.FORCE_HEADLESS = headless ? '1' : '';
  process.env.FORCE_HEADED = headed ? '1' : '';
}

await runMain(async () => {
  const values = readOptions();
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  process.chdir(root);
  loadEnvironment();
  applyOptions(values);
  await ensureInstalled();
  await refuseIfServerRuns();
  await ensureGenerated();
  await ensureBuilt();
  await ensureMigrated();
  process.env.NODE_ENV = 'production';
  await import(urlOf('dist/server.mjs'));
});
