import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { addModels } from '@/features/models/models';
import { defaultModels } from '@/features/models/schema';
import { readMark, updateSettings, writeMark } from '@/features/settings/settings';
import { importLegacyConfig } from '@/features/transfer/import-legacy';
import { query } from '@/platform/db';
import { env } from '@/platform/env';
import { log } from '@/platform/log';

const MARK = 'first_start_at';
const LEGACY_FILE = 'business_gemini_session.json';

/**
 * What happens once in the life of a data folder: the Python system's file is taken in where there
 * is one (in the data folder, else in the current one), the default models and the first proxy are
 * set. Does nothing later.
 */
export async function prepareFirstStart(): Promise<void> {
  if ((await readMark(MARK)) !== null) return;
  const { proxyUrl, dataDir } = env();
  if (proxyUrl) await updateSettings({ proxyUrl });
  const file = [dataDir, process.cwd()]
    .map((folder) => path.join(/*turbopackIgnore: true*/ folder, LEGACY_FILE))
    .find((candidate) => existsSync(candidate));
  const models = file ? await takeIn(file) : 0;
  if (models === 0) await addModels(defaultModels);
  await query((db) => writeMark(db, MARK, JSON.stringify(new Date().toISOString())));
}

/** @returns how many models the file brought */
async function takeIn(file: string): Promise<number> {
  const result = await importLegacyConfig(readFileSync(file, 'utf8'));
  const { warnings, ...counts } = result;
  log().info({ file: path.basename(file), ...counts }, 'accounts of the Python system taken in');
  for (const warning of warnings) log().warn(warning);
  log().warn(
    `${path.basename(file)} holds cookies in clear text and is not needed any more: move it to a safe place.`,
  );
  return result.models;
}
