import fs from 'node:fs';
import path from 'node:path';

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
