import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { newDataFolder } from '../e2e/support/data-folder';

it('prints the key of a new demo as the last line, after all that the log says', () => {
  const output = execFileSync(
    process.execPath,
    ['--import', 'tsx', 'scripts/demo-data.ts', 'demo'],
    {
      env: { ...process.env, DATA_DIR: newDataFolder() },
      encoding: 'utf8',
    },
  );
  expect(output.trimEnd().split('\n').at(-1)).toMatch(/^sk-[0-9A-Za-z]{43}$/);
});
