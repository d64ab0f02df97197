import { Settings, secretSettings } from '@/features/settings/schema';
import { cachedTable, reloadTable, stampChange } from '@/platform/cached-table';
import { decrypt, encrypt } from '@/platform/crypto';
import { type Database, query } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { log } from '@/platform/log';
import { parseJson } from '@/platform/parse-json';

const TABLE = 'settings';

/**
 * The settings in force; from memory when warm. Changes of any process are seen within a second. A
 * stored value that can't be read counts as not given, and the log tells so.
 */
export function settings(): Settings | Promise<Settings> {
  return cachedTable(TABLE, load);
}

async function load(): Promise<Settings> {
  const rows = await query((db) => db.setting.findMany());
  const given: Record<string, unknown> = {};
  for (const { name, value } of rows) {
    if (!Object.hasOwn(Settings.shape, name)) continue;
    const key = name as keyof Settings;
    const json = secretSettings.has(key) ? unsealed(key, value) : value;
    if (json === null) continue;
    const parsed = Settings.shape[key].safeParse(parseJson(json));
    if (parsed.success) given[key] = parsed.data;
    else log().warn({ setting: name }, 'setting is not valid: the default is used');
  }
  return Settings.parse(given);
}

function unsealed(name: keyof Settings, value: string): string | null {
  try {
    return decrypt(value);
  } catch (error) {
    log().error({ setting: name, err: error }, 'setting can not be decrypted: the default is used');
    return null;
  }
}

/**
 * Stores these settings; the others stay.
 * @throws AppError `invalid_request` with the name as `param`
 */
export async function updateSettings(changes: Partial<Settings>): Promise<void> {
  const rows = Object.entries(changes).map(([name, value]) => {
    const key = name as keyof Settings;
    const parsed = Object.hasOwn(Settings.shape, name)
      ? Settings.shape[key].safeParse(value)
      : undefined;
    if (!parsed?.success) {
      const why = parsed?.error.issues[0]?.message ?? 'there is no such setting';
      throw new AppError('invalid_request', `Setting ${name}: ${why}.`, { param: name });
    }
    const json = JSON.stringify(parsed.data);
    return { name, value: secretSettings.has(key) ? encrypt(json) : json };
  });
  await query((db) =>
    db.$transaction([
      ...rows.map((row) => writeMark(db, row.name, row.value)),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
}

/** Gives these settings their defaults back. */
export async function resetSettings(names: (keyof Settings)[]): Promise<void> {
  await query((db) =>
    db.$transaction([
      db.setting.deleteMany({ where: { name: { in: names } } }),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
}

/**
 * A fact about this data folder that is no setting, such as the encryption check: kept in the same
 * table, under a name that no setting has.
 */
export async function readMark(name: string): Promise<string | null> {
  const row = await query((db) => db.setting.findUnique({ where: { name } }));
  return row?.value ?? null;
}

/** Stores a mark; as a query, so that it can stand in a transaction. */
export function writeMark(db: Database, name: string, value: string) {
  return db.setting.upsert({ where: { name }, create: { name, value }, update: { value } });
}
