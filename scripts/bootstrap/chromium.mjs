/** Finds a Chromium for browser tests and sign-ins, or installs one. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { nodeProgram, run, runOrFail } from './child.mjs';
import { withBootstrapLock } from './lock.mjs';
import { report, ScriptFailure } from './project.mjs';

const commandNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const applications = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];
/** The font has the Chinese characters that the pages show. */
const debianPackages = ['chromium', 'fonts-wqy-zenhei'];

/**
 * The path of a Chromium that starts: CHROMIUM_PATH, else one that is there, else Debian's package
 * (as root), else Playwright's own download.
 * @throws {ScriptFailure} when CHROMIUM_PATH is wrong or nothing can be installed.
 */
export async function ensureChromium() {
  const chosen = process.env.CHROMIUM_PATH;
  if (chosen) {
    if (starts(chosen)) return chosen;
    throw new ScriptFailure(
      `CHROMIUM_PATH (${chosen}) is not a Chromium that starts`,
      'correct or unset it',
    );
  }
  return (await findChromium()) ?? (await withBootstrapLock(installChromium));
}

async function installChromium() {
  return (await findChromium()) ?? (await installFromDebian()) ?? (await downloadByPlaywright());
}

async function findChromium() {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const commands = commandNames.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  const candidates = [...commands, ...applications, await playwrightPath()];
  return candidates.find((file) => fs.existsSync(file) && starts(file)) ?? null;
}

/** A file alone says little: Ubuntu's package is a script that only says what to install. */
function starts(file) {
  try {
    const version = execFileSync(file, ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 20_000,
    });
    return /\d+\.\d+/.test(version);
  } catch {
    return false;
  }
}

async function installFromDebian() {
  if (process.getuid?.() !== 0 || !fs.existsSync('/usr/bin/apt-get')) return null;
  report('Installing Chromium (apt-get): about half a minute');
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...debianPackages];
  for (const args of [['update', '-qq'], install]) {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const { code, output } = await run('apt-get', args, { env, capture: true });
    if (code !== 0) {
      process.stderr.write(output);
      return null;
    }
  }
  return findChromium();
}

async function downloadByPlaywright() {
  report('Downloading Chromium (playwright install)');
  const mend = 'install Chromium or Chrome by hand, and set CHROMIUM_PATH to its program';
  await runOrFail(...nodeProgram('playwright/cli.js', 'install', '--no-shell', 'chromium'), {
    mend,
  });
  const file = await playwrightPath();
  if (starts(file)) return file;
  throw new ScriptFailure(
    "Playwright's Chromium does not start on this machine",
    'run "npx playwright install-deps chromium" as root, or set CHROMIUM_PATH to another one',
  );
}

async function playwrightPath() {
  const { chromium } = await import('playwright');
  return chromium.executablePath();
}
