/**
 * `npm run dev`: the server from its sources on a stand-in upstream. It starts again when a file of
 * the server changes; pages change without.
 */
import { spawn } from 'node:child_process';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { at, runMain } from './bootstrap/project.mjs';
import { refuseIfServerRuns } from './bootstrap/running.mjs';
import { enterDemoPool, fillDemoPool, showHowToCall } from './demo-pool.mjs';

await runMain(async () => {
  enterDemoPool('data-dev');
  await ensureInstalled();
  await refuseIfServerRuns();
  await ensureGenerated();
  const key = await fillDemoPool();
  startServer();
  await showHowToCall(key);
});

function startServer() {
  const tsx = at('node_modules/tsx/dist/cli.mjs');
  const args = [tsx, 'watch', '--clear-screen=false', 'src/server.ts'];
  const server = spawn(process.execPath, args, {
    env: { ...process.env, NODE_ENV: 'development', NEXT_TELEMETRY_DISABLED: '1' },
    // A process group of its own: to the signal of Ctrl-C and ours together, tsx answers with a kill.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  let told = false;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      told = true;
      server.kill(signal);
    });
  }
  server.once('exit', (code) => process.exit(told ? 0 : (code ?? 1)));
}
