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
        timestamp,
        formatters: { level: (label) => ({ level: label }) },
        hooks: { streamWrite: redact },
      },
      output(),
    ),
  );
}

let second = { number: 0, text: '' };

/** As `pino.stdTimeFunctions.isoTime` tells the time, with what lines of a second share made once. */
function timestamp(): string {
  const now = Date.now();
  const number = Math.floor(now / 1_000);
  if (number !== second.number) {
    second = { number, text: new Date(now).toISOString().slice(0, -'000Z'.length) };
  }
  return `,"time":"${second.text}${String(now % 1_000).padStart(3, '0')}Z"`;
}

let knownOutput: pino.DestinationStream | null = null;

function output(): pino.DestinationStream {
  knownOutput ??= newOutput();
  return knownOutput;
}

/**
 * Standard output, with all lines of one turn of the event loop in one write: under load there are
 * dozens, and the write costs more than the line.
 */
function newOutput(): pino.DestinationStream {
  const out = pino.destination({ dest: 1, sync: true });
  let lines = '';
  const flush = () => {
    const text = lines;
    lines = '';
    if (text !== '') out.write(text);
  };
  process.on('exit', flush);
  return {
    write(line) {
      if (lines === '') setImmediate(flush);
      lines += line;
    },
  };
}
