/**
 * Where things are, the environment, and how a script speaks and fails.
 *
 * Everything under scripts/bootstrap runs before `npm ci` has run: it imports Node's own modules at
 * the top level, nothing else. Progress goes to stderr, so that a command's stdout is its answer.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const oldestNode = [20, 19];

/** The project's folder. */
export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/[\\/]$/, '');

/** An absolute path from one relative to the project's folder. */
export function at(...segments) {
  return path.join(root, ...segments);
}

/** A failure that the user can mend; `runMain` prints message and mend, without a stack. */
export class ScriptFailure extends Error {
  constructor(message, mend) {
    super(message);
    this.mend = mend;
  }
}

/** Tells the user what takes time now. */
export function report(text) {
  process.stderr.write(`» ${text}\n`);
}

/** Runs a script's main function; a failure ends the process with exit code 1. */
export async function runMain(main) {
  try {
    requireNode();
    await main();
  } catch (error) {
    if (!(error instanceof ScriptFailure)) throw error;
    reportFailure(error);
    process.exit(1);
  }
}

/** Tells the user what failed, and what to do about it. */
export function reportFailure({ message, mend }) {
  process.stderr.write(`\nError: ${message}\n${mend ? `Mend:  ${mend}\n` : ''}`);
}

/**
 * Completes the environment of the server and the commands: values of the project's `.env` that are
 * not set already, and DATA_DIR and DATABASE_URL made absolute, relative ones being meant from the
 * project's folder. A Prisma CLI that is run by hand finds the same database, since prisma.config.ts
 * follows the same rule.
 */
export function loadEnvironment() {
  const file = at('.env');
  if (fs.existsSync(file)) process.loadEnvFile(file);
  process.env.DATA_DIR = path.resolve(root, process.env.DATA_DIR?.trim() || 'data');
  if (process.env.DATABASE_URL?.trim().startsWith('file:')) {
    process.env.DATABASE_URL = `file:${databaseFile()}`;
  }
}

/**
 * The database file that the environment means.
 * @throws {ScriptFailure} when DATABASE_URL names something else than a file.
 */
export function databaseFile() {
  const url = process.env.DATABASE_URL?.trim() || `file:${process.env.DATA_DIR}/pool.db`;
  if (!url.startsWith('file:')) {
    throw new ScriptFailure(
      'DATABASE_URL is not a file: URL; this version stores its data in SQLite only',
      'unset DATABASE_URL, or write it as file:/path/to/pool.db',
    );
  }
  return path.resolve(root, url.slice('file:'.length));
}

/** A file URL that `import()` takes, from a path relative to the project's folder. */
export function urlOf(file) {
  return pathToFileURL(at(file)).href;
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldestNode;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new ScriptFailure(
    `Node.js ${process.versions.node} is too old`,
    `install Node.js ${oldestNode.join('.')} or newer`,
  );
}
