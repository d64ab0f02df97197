import { query } from '@/platform/db';

/**
 * Takes the lease of a job for `holder` until `untilMs`, if no other process has it.
 * @returns whether it was taken
 */
export async function takeJobLease(
  name: string,
  holder: string,
  nowMs: number,
  untilMs: number,
): Promise<boolean> {
  const now = new Date(nowMs);
  const leasedUntil = new Date(untilMs);
  // Both statements decide by themselves, so that two processes cannot both win.
  const { count } = await query((db) =>
    db.jobLease.updateMany({
      where: { name, OR: [{ leasedUntil: { lt: now } }, { holder }] },
      data: { holder, leasedUntil },
    }),
  );
  if (count > 0) return true;
  try {
    await query((db) => db.jobLease.create({ data: { name, holder, leasedUntil } }));
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'P2002') return false;
    throw error;
  }
}

/** Gives the lease back and notes how the run ended. */
export async function endJobLease(name: string, holder: string, result: string): Promise<void> {
  const now = new Date();
  await query((db) =>
    db.jobLease.updateMany({
      where: { name, holder },
      data: { leasedUntil: now, lastRunAt: now, lastResult: result },
    }),
  );
}
