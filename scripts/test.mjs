/**
 * `npm test`: does what is missing (Chromium included), then runs the checks and all tests.
 * The last line on stdout is `N passed, M failed`; the exit code is 0 only if all passed.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ensureBuilt } from './bootstrap/build.mjs';
import { nodeProgram, run } from './bootstrap/child.mjs';
import { ensureChromium } from './bootstrap/chromium.mjs';
import { ensureGenerated } from './bootstrap/generate.mjs';
import { ensureInstalled } from './bootstrap/install.mjs';
import { report, reportFailure, root, runMain, ScriptFailure } from './bootstrap/project.mjs';
import { runChecks } from './check.mjs';

/** A hanging test run must end with a result, too. */
const testsTakeAtMostMs = 25 * 60_000;
const stdout = 1;

await runMain(async () => {
  process.chdir(root);
  // Each says how much passed and failed; what cannot be prepared has failed, too.
  const checks = await countFailure(async () => {
    await ensureInstalled();
    await ensureGenerated();
    return runChecks();
  });
  const tests = await countFailure(async () => {
    await ensureInstalled();
    await ensureBuilt();
    return runTests(await ensureChromium());
  });
  const passed = checks.passed + tests.passed;
  const failed = checks.failed + tests.failed;
  process.exitCode = failed === 0 && tests.passed > 0 ? 0 : 1;
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
});

async function countFailure(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ScriptFailure)) throw error;
    reportFailure(error);
    return { passed: 0, failed: 1 };
  }
}

async function runTests(chromiumPath) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pool-test-report-'));
  const reportFile = path.join(folder, 'report.json');
  try {
    const args = ['run', '--reporter=default', '--reporter=json', `--outputFile=${reportFile}`];
    const { code } = await run(...nodeProgram('vitest/vitest.mjs', ...args), {
      env: { CHROMIUM_PATH: chromiumPath, NODE_ENV: 'test' },
      stdout,
      timeoutMs: testsTakeAtMostMs,
    });
    return count(reportFile, code);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function count(reportFile, exitCode) {
  if (!fs.existsSync(reportFile)) {
    report(`The test run ended without a report (exit code ${exitCode})`);
    return { passed: 0, failed: 1 };
  }
  const { testResults, numPassedTests, numFailedTests } = JSON.parse(
    fs.readFileSync(reportFile, 'utf8'),
  );
  // A file that cannot be loaded, or whose hooks fail, has failed without a failed test.
  const brokenFiles = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length;
  const failed = numFailedTests + brokenFiles;
  // Errors outside of tests, such as an unhandled rejection, show in the exit code alone.
  return { passed: numPassedTests, failed: failed === 0 && exitCode !== 0 ? 1 : failed };
}
