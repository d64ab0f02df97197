import { z } from 'zod';
import { restRules } from '@/features/accounts/rest-rules';
import { afterClockJump, type Health, healthy, type Rest } from '@/features/accounts/state';
import type { Fault } from '@/gemini/errors';
import { quotaKinds } from '@/gemini/tools';
import { sqlTime } from '@/platform/db';
import { log } from '@/platform/log';
import { parseJson } from '@/platform/parse-json';
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

interface Table {
  entries: Map<string, Entry>;
  /** The wall clock against the one that nobody can set. */
  clockOffsetMs: number;
}

const CLOCK_JUMP_MS = 2_000;

function clockOffsetMs(): number {
  return Date.now() - performance.now();
}

function table(): Table {
  return processState<Table>('account-health', () => ({
    entries: new Map(),
    clockOffsetMs: clockOffsetMs(),
  }));
}

const SAVE = `UPDATE "Account" SET "condition" = "new".value->>2, "rests" = "new".value->>3,
  "fault" = "new".value->>4, "reason" = "new".value->>5, "faultAt" = ${sqlTime('"new".value->>6')}
  FROM json_each(?) AS "new"
  WHERE "Account"."id" = "new".value->>0 AND "Account"."healthEpoch" = "new".value->>1`;

/** The health of an account; healthy if nothing else is known. */
export function healthOf(id: string): Health {
  return table().entries.get(id)?.health ?? healthy;
}

/** The epoch of an account's health: what began in an older one has no say any more. */
export function healthEpochOf(id: string): number {
  return table().entries.get(id)?.epoch ?? 0;
}

/**
 * Sets the health of an account, at once for this process and within a second in its row. Nothing
 * happens if the account was deleted meanwhile.
 */
export function setHealth(id: string, health: Health): void {
  const entry = table().entries.get(id);
  if (!entry) return;
  entry.health = health;
  const { condition, rests, fault, reason, faultAtMs } = health;
  const row = [id, entry.epoch, condition, toJson(rests), fault, reason, faultAtMs];
  writeLatestBehind(SAVE, id, row);
}

/**
 * Moves the ends of rests with the wall clock when that was set since the last call, so that a rest
 * of 10 s stays one of 10 s.
 * @returns by how many milliseconds it was set; 0 if it was not
 */
export function followClock(): number {
  const state = table();
  const offsetMs = clockOffsetMs();
  const jumpMs = Math.round(offsetMs - state.clockOffsetMs);
  if (Math.abs(jumpMs) < CLOCK_JUMP_MS) return 0;
  state.clockOffsetMs = offsetMs;
  log().warn({ jumpMs }, 'the clock was set: rests move with it');
  for (const [id, { health }] of state.entries) {
    const moved = afterClockJump(health, jumpMs, Date.now());
    if (moved !== health) setHealth(id, moved);
  }
  return jumpMs;
}

interface HealthRow {
  id: string;
  healthEpoch: number;
  condition: string;
  rests: string;
  fault: string | null;
  reason: string | null;
  faultAt: Date | null;
}

/** Takes what rows tell: of accounts that are new here, and of a newer epoch. Forgets all others. */
export function mergeHealth(rows: HealthRow[]): void {
  const { entries } = table();
  const known = new Map(entries);
  entries.clear();
  for (const row of rows) {
    const mine = known.get(row.id);
    const isNews = !mine || row.healthEpoch > mine.epoch;
    entries.set(row.id, isNews ? { health: fromRow(row), epoch: row.healthEpoch } : mine);
  }
}

function fromRow(row: HealthRow): Health {
  return {
    condition: row.condition as Health['condition'],
    rests: restsOf(row.rests),
    fault: row.fault as Health['fault'],
    reason: row.reason,
    faultAtMs: row.faultAt?.getTime() ?? null,
  };
}

// Turns are those of a process: none of this one came before.
const StoredRest = z
  .object({
    untilMs: z.number().nullable(),
    daily: z.boolean().default(false),
    fault: z.custom<Fault>((value) => typeof value === 'string' && value in restRules),
    failures: z.number(),
  })
  .transform((rest): Rest => ({ ...rest, turn: 0 }));

const Rests = z.partialRecord(z.enum(quotaKinds), StoredRest);

/** Turns are those of a process. */
function toJson(rests: Health['rests']): string {
  return JSON.stringify(rests, (key, value) => (key === 'turn' ? undefined : value));
}

function restsOf(json: string): Health['rests'] {
  const parsed = Rests.safeParse(parseJson(json));
  if (parsed.success) return parsed.data;
  log().warn({ rests: json }, 'the rests of an account can not be read: it is taken for well');
  return {};
}

/** The columns of a health, for a command that sets it: with them goes `healthEpoch` plus one. */
export function toRow(health: Health) {
  return {
    condition: health.condition,
    rests: toJson(health.rests),
    fault: health.fault,
    reason: health.reason,
    faultAt: health.faultAtMs === null ? null : new Date(health.faultAtMs),
  };
}
