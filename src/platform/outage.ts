import { log } from '@/platform/log';

/** Whether something that is tried again and again fails now. */
export interface Outage {
  failing: boolean;
}

/** Notes that a try failed: the first of an outage gives a warning, the others are silent. */
export function noteFailure(outage: Outage, what: string, error: unknown): void {
  if (!outage.failing) log().warn({ err: error }, `${what}: failed, and is tried again`);
  outage.failing = true;
}

/** Notes that a try went well, which ends an outage with a line in the log. */
export function noteSuccess(outage: Outage, what: string): void {
  if (outage.failing) log().info(`${what}: works again`);
  outage.failing = false;
}

/** Does `work` and notes how it went, which is all that comes of a failure. Never rejects. */
export async function watched(
  outage: Outage,
  what: string,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
    noteSuccess(outage, what);
  } catch (error) {
    noteFailure(outage, what, error);
  }
}
