/** One bootstrap at a time: two at once would install or build over each other. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { at, report, ScriptFailure } from './project.mjs';

const lockFile = at('dist', 'bootstrap.lock');
const heartbeatMs = 2000;
/** A holder that has not touched its file for so long is gone, whoever has its process id now. */
const staleAfterMs = 20_000;
const retryMs = 250;
const waitAtMostMs = 15 * 60_000;

/**
 * Runs `work` while no other bootstrap of this folder runs; waits for one that does. Check again in
 * `work` whether there is still something to do.
 * @throws {ScriptFailure} when the other one takes longer than 15 minutes.
 */
export async function withBootstrapLock(work) {
  await acquire();
  const heartbeat = setInterval(() => {
    const now = new Date();
    fs.utimesSync(lockFile, now, now);
  }, heartbeatMs);
  process.on('exit', release);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    process.off('exit', release);
    release();
  }
}

async function acquire() {
  fs.mkdirSync(path.dirname(lockFile), { recursive: true });
  const giveUpAt = Date.now() + waitAtMostMs;
  for (let attempt = 0; !(await take()); attempt += 1) {
    if (attempt === 4) report('Waiting for another command that installs or builds');
    if (Date.now() > giveUpAt) {
      throw new ScriptFailure(
        'Another command has been installing or building for 15 minutes',
        `end it, or remove ${lockFile}`,
      );
    }
    await sleep(retryMs);
  }
}

async function take() {
  if (create()) return true;
  if (!isStale()) return false;
  fs.rmSync(lockFile, { force: true });
  if (!create()) return false;
  // A second process may have judged the same old file stale, and removed ours after it.
  await sleep(retryMs);
  return readHolder() === process.pid;
}

function create() {
  try {
    fs.writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isStale() {
  const { mtimeMs } = fs.statSync(lockFile, { throwIfNoEntry: false }) ?? {};
  // Released between our attempt to create it and this look.
  if (mtimeMs === undefined) return false;
  return Date.now() - mtimeMs > staleAfterMs || !isRunning(readHolder());
}

function readHolder() {
  try {
    return Number(fs.readFileSync(lockFile, 'utf8'));
  } catch {
    return 0;
  }
}

function isRunning(pid) {
  // Just created, and its holder has not written its number yet.
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function release() {
  if (readHolder() === process.pid) fs.rmSync(lockFile, { force: true });
}
