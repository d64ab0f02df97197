/** `npm run build`: builds the pages and the server, also when nothing changed. */
import { build } from './bootstrap/build.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { runMain } from './bootstrap/project.mjs';

await runMain(async () => {
  await ensureInstalled();
  await ensureGenerated();
  await build();
});
