import { execFileSync } from 'node:child_process';
import fs from 'node:fs';

const MIB = 1_048_576;
const ROOM_BYTES = 4 * MIB;

/** A folder in which there is room for 4 MiB. */
export interface ShortRoom {
  /** Makes room again, at once. */
  widen(): void;
  /** To be called when nobody uses the folder any more. */
  end(): void;
}

/**
 * Leaves room for 4 MiB in `folder`, whose content is hidden meanwhile: a small file system where a
 * mount is allowed, else a limit on each file that the process `pid` writes. Null where neither is.
 */
export function takeRoom(folder: string, pid: number): ShortRoom | null {
  fs.mkdirSync(folder, { recursive: true });
  if (run('mount', '-t', 'tmpfs', '-o', `size=${ROOM_BYTES}`, 'tmpfs', folder)) {
    return {
      widen: () => void run('mount', '-o', `remount,size=${64 * MIB}`, folder),
      end: () => void run('umount', folder),
    };
  }
  const limit = (bytes: number | 'unlimited') =>
    run('prlimit', `--pid=${pid}`, `--fsize=${bytes}:`);
  return limit(ROOM_BYTES) ? { widen: () => void limit('unlimited'), end() {} } : null;
}

/** @returns whether it is allowed here, and worked */
function run(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
