import pino from 'pino';
import { env } from '@/platform/env';
import { processState } from '@/platform/process-state';
import { redact } from '@/platform/redact';

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
