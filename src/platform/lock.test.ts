import fs from 'node:fs';
import path from 'node:path';
import Database from 'libsql';
import { expect, it } from 'vitest';
import { isAppError } from '@/platform/errors';
import { lockDataFolder } from '@/platform/lock';
import { newFolder } from '../../e2e/support/data-folder';

/** The message that an operator would read. */
function refusal(dataDir: string): string {
  try {
    lockDataFolder(dataDir);
  } catch (error) {
    if (isAppError(error)) return error.message;
    throw error;
  }
  throw new Error('The lock was taken.');
}

it('tells of another server only where there is one', () => {
  const dataDir = newFolder('lock');
  const file = path.join(dataDir, 'lock.db');
  const holder = new Database(file);
  holder.exec('BEGIN EXCLUSIVE');
  expect(refusal(dataDir)).toContain('Another server already uses');
  holder.close();

  fs.writeFileSync(file, 'x'.repeat(5_000));
  expect(refusal(dataDir)).toContain(`The lock file ${file} is damaged`);
  fs.rmSync(file);

  fs.mkdirSync(file);
  expect(refusal(dataDir)).toContain(`The lock file ${file} can't be used`);
  fs.rmdirSync(file);
});

it('names a data folder that can not be made', () => {
  const file = path.join(newFolder('lock'), 'file');
  fs.writeFileSync(file, '');
  for (const dataDir of [file, path.join(file, 'data')]) {
    expect(refusal(dataDir)).toContain(`The folder ${dataDir} can't be made: a file is in the way`);
  }
});

it('makes the folder, for its owner only, and holds the lock', () => {
  const dataDir = path.join(newFolder('lock'), 'data');
  lockDataFolder(dataDir);
  expect(fs.statSync(dataDir).mode & 0o777).toBe(0o700);
  const other = new Database(path.join(dataDir, 'lock.db'), { timeout: 0 });
  expect(() => other.exec('BEGIN EXCLUSIVE')).toThrow('locked');
  other.close();
});
