import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import esbuild from 'esbuild';
import { projectRoot } from '../../e2e/support/data-folder';

const STOP_LIMIT_MS = 45_000;

/** Our own programs that run as processes of their own, and where they are bundled to. */
const sources = {
  'pass-through': new URL('./pass-through.ts', import.meta.url),
  'load-generator': new URL('./load-generator.ts', import.meta.url),
  'loop-delay': new URL('./loop-delay.ts', import.meta.url),
};

/** The bundled program's file. */
export function programFile(name: keyof typeof sources): string {
  return path.join(projectRoot, 'dist/bench', `${name}.mjs`);
}

/** Bundles our programs: a loader of TypeScript in the process would show in its figures. */
export async function bundlePrograms(): Promise<void> {
  await esbuild.build({
    absWorkingDir: projectRoot,
    entryPoints: Object.values(sources).map((url) => fileURLToPath(url)),
    outdir: 'dist/bench',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'warning',
  });
  await esbuild.stop();
}

/**
 * Starts Node with an IPC channel. The environment has nothing of this process but the path, so that
 * nobody's settings and proxies change the figures.
 */
export function startNode(
  args: string[],
  options: { env?: Record<string, string>; stdio?: SpawnOptions['stdio'] } = {},
): ChildProcess {
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...options.env },
    stdio: options.stdio ?? ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  return child;
}

/**
 * The next message of a child.
 * @throws Error if it ends before
 */
export async function nextMessage<T>(child: ChildProcess): Promise<T> {
  const stop = new AbortController();
  const { signal } = stop;
  const ended = once(child, 'exit', { signal }).then(([code, endedBy]) => {
    throw new Error(`${child.spawnargs.join(' ')} ended (${code ?? endedBy})`);
  });
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), ended]);
    return message as T;
  } finally {
    stop.abort();
  }
}

/** Ends a child by SIGTERM, and after 45 s by SIGKILL. */
export async function stopNode(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const kill = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  child.kill('SIGTERM');
  await once(child, 'exit');
  clearTimeout(kill);
}
