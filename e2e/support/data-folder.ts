import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import Database from 'libsql';

/** Names the folder of this test run; set by global-setup.ts. */
export const TEST_FOLDER_VARIABLE = 'POOL_TEST_FOLDER';

/** The project's folder. */
export const projectRoot = path.resolve(import.meta.dirname, '../..');

/** The data folder that all others are copied from. */
export function templateFolder(testFolder: string): string {
  return path.join(testFolder, 'template');
}

/**
 * A data folder of its own, with an empty database that has all tables. It stays until the end of
 * the whole test run, so that a test can look into it after its server has stopped.
 * @throws Error outside of vitest
 */
export function newDataFolder(): string {
  const folder = newFolder('data');
  fs.cpSync(templateFolder(testFolder()), folder, { recursive: true });
  return folder;
}

/**
 * An empty folder that goes with the test run.
 * @throws Error outside of vitest
 */
export function newFolder(name: string): string {
  return fs.mkdtempSync(path.join(testFolder(), `${name}-`));
}

/** Where a test notes the processes that it started, a file each, named by the process id. */
export function processesFolder(ofTestFolder: string = testFolder()): string {
  return path.join(ofTestFolder, 'processes');
}

function testFolder(): string {
  const folder = process.env[TEST_FOLDER_VARIABLE];
  if (!folder) throw new Error('Only tests that vitest runs have a test folder');
  return folder;
}

/**
 * Makes a data folder with an empty database that has all tables.
 * @throws Error with Prisma's output if the migrations fail
 */
export function makeDataFolder(dataDir: string): void {
  fs.mkdirSync(dataDir, { mode: 0o700 });
  const prisma = path.join(projectRoot, 'node_modules/prisma/build/index.js');
  execFileSync(process.execPath, [prisma, 'migrate', 'deploy'], {
    cwd: projectRoot,
    env: { ...process.env, DATA_DIR: dataDir, DATABASE_URL: '' },
    stdio: 'pipe',
  });
}

/**
 * Holds the database of a data folder against all writers, as another program would.
 * @returns what to call to let it go
 */
export function holdDatabase(dataDir: string): () => void {
  const holder = new Database(path.join(dataDir, 'pool.db'));
  holder.exec('BEGIN IMMEDIATE');
  return () => {
    holder.exec('ROLLBACK');
    holder.close();
  };
}
