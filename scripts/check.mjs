/** `npm run check`: format, lint with the layer rules, types, unused code, paths in the docs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from './bootstrap/child.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { at, runMain } from './bootstrap/project.mjs';

/**
 * Runs all steps and prints a line for each, with the output of those that fail.
 * @returns how many passed and failed.
 */
export async function runChecks() {
  const { scripts } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  // Types take about as long as all the others together: two lanes fill two cores.
  const lanes = [
    [{ name: 'types', command: scripts.typecheck }],
    [
      { name: 'format', command: 'biome format .' },
      { name: 'lint', command: scripts.lint },
      { name: 'unused code', command: scripts.unused },
      { name: 'paths in the docs', command: 'node scripts/check-doc-paths.mjs' },
    ],
  ];
  const results = (await Promise.all(lanes.map(runInOrder))).flat();
  const passed = results.filter(Boolean).length;
  return { passed, failed: results.length - passed };
}

async function runInOrder(steps) {
  const results = [];
  for (const step of steps) results.push(await runStep(step));
  return results;
}

async function runStep({ name, command }) {
  const startedAt = performance.now();
  const { code, output } = await run('/bin/sh', ['-c', command], {
    env: { PATH: `${at('node_modules', '.bin')}${path.delimiter}${process.env.PATH}` },
    capture: true,
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${code === 0 ? '✓' : '✗'} ${name} (${seconds} s)\n`);
  if (code !== 0) process.stdout.write(`${output.trimEnd()}\n\n`);
  return code === 0;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runMain(async () => {
    await ensureInstalled();
    await ensureGenerated();
    const { failed } = await runChecks();
    process.exitCode = failed === 0 ? 0 : 1;
  });
}
