import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { jumpingClock } from './clock';

const HOUR_MS = 3_600_000;

/** Tells its times, as often as it gets a line. */
const program = `
  process.stdin.on('data', () => console.log(JSON.stringify({
    now: Date.now(), made: new Date().getTime(), text: Date.parse(Date()), steady: performance.now(),
    given: new Date(5).getTime(), utc: Date.UTC(1970, 0), isDate: new Date() instanceof Date,
  })));`;

const clock = jumpingClock();
const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
  env: { ...process.env, ...clock.env },
  stdio: ['pipe', 'pipe', 'inherit'],
});
const lines = createInterface(child.stdout);
afterEach(() => child.kill());

async function times(): Promise<Record<string, number>> {
  child.stdin.write('?\n');
  const [line] = await once(lines, 'line');
  return JSON.parse(line);
}

it('makes the clock of a program jump while it runs', async () => {
  const before = await times();
  expect(Math.abs((before.now ?? 0) - Date.now())).toBeLessThan(HOUR_MS / 2);
  for (const [jumpMs, offMs] of [
    [2 * HOUR_MS, 2 * HOUR_MS],
    [-5 * HOUR_MS, -3 * HOUR_MS],
  ] as const) {
    await clock.jump(jumpMs);
    const told = await times();
    for (const name of ['now', 'made', 'text']) {
      expect(Math.abs((told[name] ?? 0) - offMs - Date.now())).toBeLessThan(HOUR_MS / 2);
    }
    expect((told.steady ?? 0) - (before.steady ?? 0)).toBeLessThan(HOUR_MS / 2);
    expect(told).toMatchObject({ given: 5, utc: 0, isDate: true });
  }
});
