import { isAppError } from '@/platform/errors';
import { redact } from '@/platform/redact';

/**
 * Ends the process with a message for whoever started it: plain words for what they can mend, the
 * stack for what is a bug.
 */
export function reportFatal(error: unknown): never {
  const text = isAppError(error)
    ? error.message
    : error instanceof Error
      ? error.stack
      : String(error);
  process.stderr.write(redact(`\n${text}\n`));
  process.exit(1);
}
