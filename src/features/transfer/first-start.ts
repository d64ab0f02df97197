import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { addModels } from '@/features/models/models';
import { defaultModels } from '@/features/models/schema';
import { readMark, updateSettings, writeMark } from '@/features/settings/settings';
import { storeLegacyConfig } from '@/features/transfer/import-legacy';
import { type LegacyConfig, parseLegacyConfig } from '@/features/transfer/legacy-config';
import { query } from '@/platform/db';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { log } from '@/platform/log';

const MARK = 'first_start_at';
const LEGACY_FILE = 'business_gemini_session.json';

/**
 * What happens once in the life of a data folder: the Python system's file is taken in where there
 * is one (in the data folder, else in the current one), the default models and the first proxy are
 * set. Does nothing later.
 * @throws AppError `invalid_request` if that file can't be read; nothing has been stored then
 */
export async function prepareFirstStart(): Promise<void> {
  if ((await readMark(MARK)) !== null) return;
  const { proxyUrl, dataDir } = env();
  const file = [dataDir, process.cwd()]
    .map((folder) => path.join(/*turbopackIgnore: true*/ folder, LEGACY_FILE))
    .find((candidate) => existsSync(candidate));
  const config = file ? readConfig(file) : null;
  if (proxyUrl) await updateSettings({ proxyUrl });
  const models = config ? await takeIn(config) : 0;
  if (models === 0) await addModels(defaultModels);
  await query((db) => writeMark(db, MARK, JSON.stringify(new Date().toISOString())));
}

function readConfig(file: string): LegacyConfig {
  try {
    return parseLegacyConfig(readFileSync(file, 'utf8'));
  } catch (error) {
    const near = path.relative(process.cwd(), file);
    const shown = near.startsWith('..') ? file : near;
    const why = (error as Error).message.replace(/\.?$/, '.');
    throw new AppError(
      'invalid_request',
      `${shown} can't be taken in at the first start: ${why} Repair the file, or move it away to start without it.`,
      { cause: error },
    );
  }
}

/** @returns how many models the file brought */
async function takeIn(config: LegacyConfig): Promise<number> {
  const { warnings, ...counts } = await storeLegacyConfig(config);
  log().info({ file: LEGACY_FILE, ...counts }, 'accounts of the Python system taken in');
  for (const warning of warnings) log().warn(warning);
  log().warn(
    `${LEGACY_FILE} holds cookies in clear text and is not needed any more: move it to a safe place.`,
  );
  return counts.models;
}
