/** Runs other programs, with their output on stderr. */
import { spawn } from 'node:child_process';
import { at, root, ScriptFailure } from './project.mjs';

const stderr = 2;

/**
 * Runs a program to its end in the project's folder. Ends it when this process is told to end.
 * @returns exit code, ending signal and, when `capture` is set, what it wrote to stdout (`answer`) and
 *   to stdout and stderr (`output`); otherwise that goes to stderr.
 */
export function run(file, args, { env = {}, capture = false, stdout = stderr, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: capture ? ['ignore', 'pipe', 'pipe'] : ['ignore', stdout, stderr],
      timeout: timeoutMs,
    });
    const stopForwarding = forwardSignals(child);
    let answer = '';
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      answer += text;
      output += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.once('error', (error) => {
      stopForwarding();
      reject(error);
    });
    child.once('close', (code, signal) => {
      stopForwarding();
      resolve({ code: code ?? 1, signal, answer, output });
    });
  });
}

/**
 * `run`, but every other exit code than 0 is a failure. With `capture` the program's output is shown
 * only then.
 * @throws {ScriptFailure} with the mend given.
 */
export async function runOrFail(file, args, { mend, ...options } = {}) {
  const { code, signal, output } = await run(file, args, options).catch((error) => {
    throw new ScriptFailure(`${file} could not be started (${error.code ?? error.message})`, mend);
  });
  if (code === 0) return;
  process.stderr.write(output);
  const reason = signal ? `was ended by ${signal}` : `failed with exit code ${code}`;
  throw new ScriptFailure(`"${[file, ...args].join(' ')}" ${reason}; its output is above`, mend);
}

/** The command line of a JavaScript program of an installed package: `node node_modules/…`. */
export function nodeProgram(file, ...args) {
  return [process.execPath, [at('node_modules', file), ...args]];
}

function forwardSignals(child) {
  const forward = (signal) => {
    child.kill(signal);
    child.once('close', () => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  const signals = ['SIGINT', 'SIGTERM'];
  for (const signal of signals) process.on(signal, forward);
  return () => {
    for (const signal of signals) process.off(signal, forward);
  };
}
