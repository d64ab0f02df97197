/**
 * `npm run key -- …` and its sisters: does what is missing, then runs scripts/<name>.ts in this
 * process. Nothing but the command itself writes to stdout.
 */
import { ensureBuilt } from './bootstrap/build.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { ensureMigrated } from './bootstrap/migrate.mjs';
import { at, loadEnvironment, runMain, ScriptFailure, urlOf } from './bootstrap/project.mjs';

const names = ['key', 'account', 'model', 'files', 'media', 'settings', 'doctor', 'bench'];

await runMain(async () => {
  const [name, ...args] = process.argv.slice(2);
  if (!names.includes(name)) {
    throw new ScriptFailure(
      `There is no command "${name ?? ''}"`,
      `use one of ${names.join(', ')}`,
    );
  }
  loadEnvironment();
  await ensureInstalled();
  await ensureGenerated();
  if (name === 'bench') await ensureBuilt();
  else await ensureMigrated();
  process.argv = [process.argv[0], at('scripts', `${name}.ts`), ...args];
  const { register } = await import('tsx/esm/api');
  register({ tsconfig: at('tsconfig.json') });
  await import(urlOf(`scripts/${name}.ts`));
});
