/** Generates the database client from the Prisma schema. */
import fs from 'node:fs';
import { nodeProgram, runOrFail } from './child.mjs';
import { dropNote, fingerprintOf, readNote, writeNote } from './fingerprint.mjs';
import { withBootstrapLock } from './lock.mjs';
import { at, report } from './project.mjs';

const step = 'generated';
const inputs = ['prisma/schema.prisma', 'node_modules/prisma/package.json'];

/**
 * Runs `prisma generate` if the schema, or Prisma itself, changed since the last time.
 * @throws {ScriptFailure} when it fails.
 */
export async function ensureGenerated() {
  if (isGenerated()) return;
  await withBootstrapLock(async () => {
    if (isGenerated()) return;
    report('Generating the database client (prisma generate)');
    const fingerprint = fingerprintOf(inputs);
    dropNote(step);
    await runOrFail(...nodeProgram('prisma/build/index.js', 'generate'), {
      capture: true,
      mend: 'see the message of Prisma above; "npx prisma validate" checks the schema',
    });
    writeNote(step, fingerprint);
  });
}

function isGenerated() {
  const client = at('src', 'generated', 'prisma', 'client.ts');
  return fs.existsSync(client) && readNote(step) === fingerprintOf(inputs);
}
