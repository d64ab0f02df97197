import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { newFolder, projectRoot } from './data-folder';

const COMMAND_LIMIT_MS = 30_000;

export interface KeyOptions {
  /** Models that the key may use; all without it. */
  models?: string[];
  /** As the command takes it, such as `30d`. */
  expires?: string;
  env?: Record<string, string>;
}

/**
 * Runs `npm run <name> -- <args>` on a data folder that is migrated already, without npm.
 * @returns what it wrote to stdout
 * @throws Error with the command's output if its exit code is not 0
 */
export async function runCommand(
  name: 'key' | 'account' | 'model' | 'files' | 'settings' | 'doctor',
  args: string[],
  dataDir: string,
  env: Record<string, string> = {},
): Promise<string> {
  const script = path.join(projectRoot, 'scripts', `${name}.ts`);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', script, ...args],
    {
      cwd: projectRoot,
      env: { ...process.env, NODE_ENV: 'production', DATABASE_URL: '', DATA_DIR: dataDir, ...env },
      timeout: COMMAND_LIMIT_MS,
    },
  );
  return stdout;
}

/** Makes an API key and returns it. */
export async function createKey(
  dataDir: string,
  name: string,
  { models, expires, env }: KeyOptions = {},
): Promise<string> {
  const args = ['create', name];
  if (models) args.push('--models', models.join(','));
  if (expires) args.push('--expires', expires);
  const stdout = await runCommand('key', args, dataDir, env);
  const key = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (!key.startsWith('sk-')) throw new Error(`No key on the last line:\n${stdout}`);
  return key;
}

/** Imports accounts from the Python system's form of JSON, as an object or as text. */
export async function importAccounts(
  dataDir: string,
  seed: unknown,
  env: Record<string, string> = {},
): Promise<void> {
  // Outside of the data folder, which must never hold a cookie in clear text.
  const file = path.join(newFolder('seed'), 'business_gemini_session.json');
  fs.writeFileSync(file, typeof seed === 'string' ? seed : JSON.stringify(seed));
  await runCommand('account', ['import', file], dataDir, env);
}
