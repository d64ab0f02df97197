import fs from 'node:fs';
import path from 'node:path';
import Database from 'libsql';
import { expect, it } from 'vitest';
import { newFolder } from '../../e2e/support/data-folder';

it('tells of another server only where there is one', async () => {
  // @ts-expect-error: the scripts that run before the packages are there have no types.
  const { refuseIfServerRuns } = await import('./running.mjs');
  const dataDir = newFolder('running');
  const file = path.join(dataDir, 'lock.db');
  process.env.DATA_DIR = dataDir;
  await refuseIfServerRuns();

  const holder = new Database(file);
  holder.exec('BEGIN EXCLUSIVE');
  await expect(refuseIfServerRuns()).rejects.toThrow('Another server already uses');
  holder.close();
  await refuseIfServerRuns();

  fs.writeFileSync(file, 'x'.repeat(5_000));
  await expect(refuseIfServerRuns()).rejects.toMatchObject({
    message: `The lock file ${file} is damaged`,
    mend: expect.stringContaining('delete it'),
  });
  fs.rmSync(file);
  fs.mkdirSync(file);
  await expect(refuseIfServerRuns()).rejects.toThrow(`The lock file ${file} can't be used`);
});
