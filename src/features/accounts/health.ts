import { type Health, healthy } from '@/features/accounts/state';
import { sqlTime } from '@/platform/db';
import { processState } from '@/platform/process-state';
import { writeLatestBehind } from '@/platform/write-behind';

/**
 * Where the health of the accounts is kept: live in this process, and a second later in their rows.
 * Only one server uses a data folder, so its memory is right within an epoch; a command that sets
 * the health begins a new epoch, and wins over all that the server still has under way.
 */

interface Entry {
  health: Health;
  epoch: number;
}

function table(): Map<string, Entry> {
  return processState('account-health', () => new Map<string, Entry>());
}

const SAVE = `UPDATE "Account" SET "condition" = "new".value->>2, "restUntil" = ${sqlTime('"new".value->>3')},
  "fault" = "new".value->>4, "reason" = "new".value->>5, "faultAt" = ${sqlTime('"new".value->>6')},
  "failures" = "new".value->>7
  FROM json_each(?) AS "new"
  WHERE "Account"."id" = "new".value->>0 AND "Account"."healthEpoch" = "new".value->>1`;

/** The health of an account; healthy if nothing else is known. */
export function healthOf(id: string): Health {
  return table().get(id)?.health ?? healthy;
}

/** The epoch of an account's health: what began in an older one has no say any more. */
export function healthEpochOf(id: string): number {
  return table().get(id)?.epoch ?? 0;
}

/** Sets the health of an account, at once for this process and within a second in its row. */
export function setHealth(id: string, health: Health): void {
  const epoch = healthEpochOf(id);
  table().set(id, { health, epoch });
  const { condition, restUntilMs, fault, reason, faultAtMs, failures } = health;
  const row = [id, epoch, condition, restUntilMs, fault, reason, faultAtMs, failures];
  writeLatestBehind(SAVE, id, row);
}

interface HealthRow {
  id: string;
  healthEpoch: number;
  condition: string;
  restUntil: Date | null;
  fault: string | null;
  reason: string | null;
  faultAt: Date | null;
  failures: number;
}

/** Takes what rows tell: of accounts that are new here, and of a newer epoch. Forgets all others. */
export function mergeHealth(rows: HealthRow[]): void {
  const known = new Map(table());
  table().clear();
  for (const row of rows) {
    const mine = known.get(row.id);
    const isNews = !mine || row.healthEpoch > mine.epoch;
    table().set(row.id, isNews ? { health: fromRow(row), epoch: row.healthEpoch } : mine);
  }
}

function fromRow(row: HealthRow): Health {
  return {
    condition: row.condition as Health['condition'],
    restUntilMs: row.restUntil?.getTime() ?? null,
    fault: row.fault as Health['fault'],
    reason: row.reason,
    faultAtMs: row.faultAt?.getTime() ?? null,
    faultTurn: 0,
    failures: row.failures,
  };
}

/** The columns of a health, for a command that sets it: with them goes `healthEpoch` plus one. */
export function toRow(health: Health) {
  const date = (ms: number | null) => (ms === null ? null : new Date(ms));
  return {
    condition: health.condition,
    restUntil: date(health.restUntilMs),
    fault: health.fault,
    reason: health.reason,
    faultAt: date(health.faultAtMs),
    failures: health.failures,
  };
}
