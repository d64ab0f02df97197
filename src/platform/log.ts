import { format, stripVTControlCharacters } from 'node:util';
import pino from 'pino';
import { env } from '@/platform/env';
import { processState } from '@/platform/process-state';
import { redact } from '@/platform/redact';

/**
 * Takes what libraries write to the console into the log, so that no line of it is without redaction
 * or can pass for one of ours.
 */
export function captureConsole(): void {
  const to =
    (level: 'info' | 'warn' | 'error') =>
    (...parts: unknown[]) => {
      log()[level]({ source: 'console' }, stripVTControlCharacters(format(...parts)));
    };
  Object.assign(globalThis.console, {
    log: to('info'),
    info: to('info'),
    warn: to('warn'),
    error: to('error'),
  });
}

/**
 * The log of this process: one JSON line per event on standard output, secrets taken out of every
 * line whatever field they stand in.
 */
export function log(): pino.Logger {
  return processState('log', () =>
    pino(
      {
        level: env().logLevel,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        hooks: { streamWrite: redact },
      },
      pino.destination({ dest: 1, sync: true }),
    ),
  );
}
