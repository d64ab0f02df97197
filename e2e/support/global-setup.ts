import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  makeDataFolder,
  processesFolder,
  projectRoot,
  TEST_FOLDER_VARIABLE,
  templateFolder,
} from './data-folder';

/**
 * Makes one folder for the whole test run, with a migrated database to copy (`newDataFolder`), and
 * removes it with all copies at the end.
 */
export default function setUp(): () => void {
  const testFolder = fs.mkdtempSync(path.join(os.tmpdir(), 'pool-test-'));
  process.env[TEST_FOLDER_VARIABLE] = testFolder;
  makeDataFolder(templateFolder(testFolder));
  hideRealAccounts(templateFolder(testFolder));
  fs.mkdirSync(processesFolder(testFolder));
  return () => {
    endProcesses(processesFolder(testFolder));
    fs.rmSync(testFolder, { recursive: true, force: true, maxRetries: 5 });
  };
}

/** Vitest ends its workers by a signal, and they cannot take along what they started. */
function endProcesses(folder: string): void {
  for (const pid of fs.readdirSync(folder)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** A first start looks for this file in the data folder, then in the current one. */
function hideRealAccounts(dataDir: string): void {
  const name = 'business_gemini_session.json';
  if (!fs.existsSync(path.join(projectRoot, name))) return;
  fs.writeFileSync(path.join(dataDir, name), JSON.stringify({ accounts: [], models: [] }));
}
