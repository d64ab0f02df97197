/** Builds the pages (next build) and the server (esbuild). */
import fs from 'node:fs';
import { nodeProgram, runOrFail } from './child.mjs';
import { dropNote, fingerprintOf, readNote, writeNote } from './fingerprint.mjs';
import { withBootstrapLock } from './lock.mjs';
import { at, report, root, ScriptFailure } from './project.mjs';

const step = 'built';
const inputs = [
  'src',
  'public',
  'prisma/schema.prisma',
  'next.config.mjs',
  'postcss.config.mjs',
  'tsconfig.json',
  'package.json',
  'package-lock.json',
  'scripts/bootstrap/build.mjs',
];
const outputs = ['dist/server.mjs', '.next/BUILD_ID'];

/**
 * Builds if a source changed since the last build that succeeded.
 * @throws {ScriptFailure} when the build fails.
 */
export async function ensureBuilt() {
  if (isBuilt()) return;
  await withBootstrapLock(async () => {
    if (!isBuilt()) await buildAll();
  });
}

/**
 * Builds in any case.
 * @throws {ScriptFailure} when the build fails.
 */
export async function build() {
  await withBootstrapLock(buildAll);
}

async function buildAll() {
  const fingerprint = fingerprintOfSources();
  dropNote(step);
  report('Building the pages (next build): about half a minute');
  await runOrFail(...nodeProgram('next/dist/bin/next', 'build'), {
    env: { NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' },
    mend: 'see the message of Next.js above; "npm run check" names errors in the code',
  });
  report('Building the server (esbuild)');
  await bundleServer();
  writeNote(step, fingerprint);
}

async function bundleServer() {
  const esbuild = await import('esbuild');
  try {
    await esbuild.build({
      absWorkingDir: root,
      entryPoints: ['src/server.ts'],
      outfile: 'dist/server.mjs',
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      packages: 'external',
      sourcemap: true,
      logLevel: 'warning',
    });
  } catch {
    throw new ScriptFailure(
      'The server cannot be bundled',
      'see the messages of esbuild above; "npm run check" names errors in the code',
    );
  } finally {
    // Its helper process would stay beside the server.
    await esbuild.stop();
  }
}

function isBuilt() {
  if (!outputs.every((file) => fs.existsSync(at(file)))) return false;
  return readNote(step) === fingerprintOfSources();
}

/** The generated client follows from the schema; tests are not in the build. */
function fingerprintOfSources() {
  const isNoInput = (file) => file === 'src/generated' || /\.test\.tsx?$/.test(file);
  return fingerprintOf(inputs, isNoInput);
}
