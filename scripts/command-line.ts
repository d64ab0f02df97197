import { saveCredentials } from '@/features/accounts/credentials';
import { openDataFolder } from '@/features/settings/data-folder';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { AppError, isAppError } from '@/platform/errors';
import { closeDispatchers } from '@/platform/http';
import { redact } from '@/platform/redact';
import { stopWriteBehind } from '@/platform/write-behind';

/**
 * Runs a command on the data folder, beside a running server or without one. `run` answers false if
 * it does not understand its arguments: the help is shown then. Sets the exit code; `run` may set it
 * to say that what it found is not well.
 * @param options.bare true for a command that does its work without arguments, too
 */
export async function runCommand(
  help: string,
  run: (argv: string[]) => Promise<boolean>,
  options: { bare?: boolean } = {},
): Promise<void> {
  const argv = process.argv.slice(2);
  if ((argv.length === 0 && !options.bare) || argv.includes('--help')) {
    console.log(help);
    return;
  }
  try {
    await openDataFolder();
    if (!(await run(argv))) {
      // Not the rest: it may hold a password.
      console.error(`Not understood: ${printable(argv[0] ?? '')} …\n\n${help}`);
      process.exitCode = 2;
    }
  } catch (error) {
    const isUsage = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
    console.error(redact(isUsage ? usageOf(error as Error) : textOf(error)));
    process.exitCode = isUsage ? 2 : 1;
  } finally {
    stopCachedTables();
    await saveCredentials();
    const lostRows = await stopWriteBehind();
    if (lostRows > 0) console.error(`${lostRows} rows could not be written to the database.`);
    await closeDispatchers();
    await closeDatabase();
  }
}

/** Without what Node adds for positional arguments with a dash. */
function usageOf({ message }: Error): string {
  return `${message.split('. To specify')[0]}. Help: --help`;
}

function textOf(error: unknown): string {
  return isAppError(error) ? error.message : String((error as Error).stack);
}

/** On one line. What a file or a caller named may hold control characters, which a terminal would obey. */
export function printable(text: string): string {
  return text.replace(/[\r\n\t]+/g, ' ').replace(/[\p{Cc}\p{Cf}]/gu, '?');
}

/** Prints rows under their heads, in columns; `whenEmpty` if there are none. */
export function printTable(heads: string[], rows: string[][], whenEmpty: string): void {
  if (rows.length === 0) {
    console.log(whenEmpty);
    return;
  }
  const lines = [heads, ...rows].map((line) => line.map(printable));
  const widths = heads.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  for (const line of lines) {
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}

/**
 * The parts of `NAME=VALUE`: `word` as it was given, and the option that it names in `names`.
 * @throws AppError `invalid_request` if it names none
 */
export function parseAssignment<T>(
  text: string,
  names: Readonly<Record<string, T>>,
): { word: string; name: T; value: string } {
  const cut = text.indexOf('=');
  const word = text.slice(0, Math.max(0, cut));
  const name = Object.hasOwn(names, word) ? names[word] : undefined;
  if (name === undefined) {
    throw new AppError(
      'invalid_request',
      `There is no option ${printable(word)}. Known: ${Object.keys(names).join(', ')}, each with =VALUE.`,
    );
  }
  return { word, name, value: text.slice(cut + 1) };
}

/** The names in a list such as `a, b`. */
export function commaList(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** A time to the minute, in UTC. */
export function minute(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 16).replace('T', ' ');
}
