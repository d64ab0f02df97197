/** Installs the packages. */
import fs from 'node:fs';
import { runOrFail } from './child.mjs';
import { withBootstrapLock } from './lock.mjs';
import { at, report } from './project.mjs';

/**
 * Runs `npm ci` unless what package-lock.json asks for is there already, whoever installed it.
 * Development packages are part of it, also with NODE_ENV=production: the build needs them.
 * @throws {ScriptFailure} when npm fails.
 */
export async function ensureInstalled() {
  if (isInstalled()) return;
  await withBootstrapLock(async () => {
    if (isInstalled()) return;
    report('Installing packages (npm ci): about a minute');
    await runOrFail('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
      mend: 'check that this machine reaches the npm registry (npm ping), then try again',
    });
  });
}

/** npm writes what it installed to node_modules/.package-lock.json, as the last thing it does. */
function isInstalled() {
  const installed = readPackages(at('node_modules', '.package-lock.json'));
  const wanted = readPackages(at('package-lock.json'));
  if (!installed || !wanted) return false;
  return Object.entries(wanted).every(([place, entry]) => {
    // The project itself, and what belongs to other platforms.
    if (place === '' || entry.optional || entry.devOptional || entry.peer) return true;
    const found = installed[place];
    return found?.version === entry.version && found.integrity === entry.integrity;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}
