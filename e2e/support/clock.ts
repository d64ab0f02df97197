import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { newFolder } from './data-folder';

const TAKE_LIMIT_MS = 5_000;

/** The wall clock of a program that a test has started with `env`. */
export interface JumpingClock {
  /** For `startServer` or `startPool`: one program per clock. */
  env: Record<string, string>;
  /**
   * Sets the program's wall clock forward by `ms`, or back if negative, from where it stands. Its
   * timers and its `performance.now` notice nothing. Resolves when the program goes by the new time.
   * @throws Error if it does not within 5 s
   */
  jump(ms: number): Promise<void>;
}

/** A clock that goes right until it is told to jump. */
export function jumpingClock(): JumpingClock {
  const file = path.join(newFolder('clock'), 'offset-ms');
  const preload = pathToFileURL(path.join(import.meta.dirname, 'clock-jump.mjs')).href;
  let offsetMs = 0;
  fs.writeFileSync(file, String(offsetMs));
  return {
    env: { NODE_OPTIONS: `--import ${preload}`, JUMPING_CLOCK_FILE: file },
    async jump(ms) {
      offsetMs += ms;
      fs.writeFileSync(file, String(offsetMs));
      const giveUpAt = performance.now() + TAKE_LIMIT_MS;
      while (readTaken(file) !== String(offsetMs)) {
        if (performance.now() > giveUpAt) throw new Error('No program goes by this clock');
        await sleep(10);
      }
    },
  };
}

function readTaken(file: string): string {
  try {
    return fs.readFileSync(`${file}.taken`, 'utf8');
  } catch {
    return '';
  }
}
