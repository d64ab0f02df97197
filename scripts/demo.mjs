/** `npm run demo`: the built server on a stand-in upstream, to try it without a Google account. */
import { ensureBuilt } from './bootstrap/build.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { runMain, urlOf } from './bootstrap/project.mjs';
import { refuseIfServerRuns } from './bootstrap/running.mjs';
import { enterDemoPool, fillDemoPool, showHowToCall } from './demo-pool.mjs';

await runMain(async () => {
  enterDemoPool('data-demo');
  await ensureInstalled();
  await refuseIfServerRuns();
  await ensureGenerated();
  await ensureBuilt();
  const key = await fillDemoPool();
  process.env.NODE_ENV = 'production';
  // In this process, which its signal handlers end; the stand-in follows.
  await import(urlOf('dist/server.mjs'));
  await showHowToCall(key);
});
