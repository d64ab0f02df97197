/** Brings the database's tables up to date. */
import fs from 'node:fs';
import path from 'node:path';
import { nodeProgram, runOrFail } from './child.mjs';
import { withBootstrapLock } from './lock.mjs';
import { at, databaseFile, report, ScriptFailure } from './project.mjs';

const busyTimeoutMs = 5000;

/**
 * Makes the data folder (0700) and runs `prisma migrate deploy` if the database misses a migration.
 * Asking the database takes milliseconds, starting Prisma's program over a second.
 * @throws {ScriptFailure} when the folder can't be made or a migration fails.
 */
export async function ensureMigrated() {
  makeDataFolder(process.env.DATA_DIR);
  if (await isMigrated()) return;
  await withBootstrapLock(async () => {
    if (await isMigrated()) return;
    const file = databaseFile();
    report(`Preparing the database ${path.relative(process.cwd(), file)} (prisma migrate deploy)`);
    await runOrFail(...nodeProgram('prisma/build/index.js', 'migrate', 'deploy'), {
      capture: true,
      mend: `see the message of Prisma above; ${file} must be a database of this program`,
    });
  });
}

function makeDataFolder(folder) {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ScriptFailure(
      `The data folder ${folder} can't be made (${error.message})`,
      'move away what is in the way, let this user write there, or choose another folder with DATA_DIR',
    );
  }
}

async function isMigrated() {
  const wanted = fs
    .readdirSync(at('prisma', 'migrations'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  const applied = await readAppliedMigrations(databaseFile());
  return wanted.every((name) => applied.has(name));
}

/** Nothing, if the file is not there or has no such table: then Prisma's program finds out why. */
async function readAppliedMigrations(file) {
  if (!fs.existsSync(file)) return new Set();
  const { default: Database } = await import('libsql');
  const database = new Database(file, { timeout: busyTimeoutMs });
  try {
    const rows = database
      .prepare(
        `SELECT migration_name FROM _prisma_migrations
          WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`,
      )
      .all();
    return new Set(rows.map((row) => row.migration_name));
  } catch {
    return new Set();
  } finally {
    database.close();
  }
}
