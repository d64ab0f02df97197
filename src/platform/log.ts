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
      output().stream,
    ),
  );
}

interface Output {
  stream: pino.DestinationStream;
  /** Whether the lines of one turn of the event loop are gathered. */
  isGathering: boolean;
  /** Writes what was gathered. */
  flush(): void;
}

function output(): Output {
  return processState('log-output', newOutput);
}

/**
 * From now on all lines of one turn of the event loop go out in one write: under load there are
 * dozens, and the write costs more than the line. For a server: what a command prints by itself must
 * come in its order between the lines of the log.
 */
export function gatherLogLines(): void {
  const state = output();
  if (state.isGathering) return;
  state.isGathering = true;
  process.on('exit', state.flush);
}

function newOutput(): Output {
  const out = pino.destination({ dest: 1, sync: true });
  let lines = '';
  const write = (line: string) => {
    if (!made.isGathering) {
      out.write(line);
      return;
    }
    if (lines === '') setImmediate(made.flush);
    lines += line;
  };
  const made: Output = {
    stream: { write },
    isGathering: false,
    flush() {
      const text = lines;
      lines = '';
      if (text !== '') out.write(text);
    },
  };
  return made;
}
