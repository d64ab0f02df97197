import { saveAccounts } from '@/features/accounts/accounts';
import { addModels } from '@/features/models/models';
import { updateSettings } from '@/features/settings/settings';
import { type LegacyConfig, parseLegacyConfig } from '@/features/transfer/legacy-config';

/** What an import did, for the operator. Without secrets. */
export interface ImportResult {
  added: number;
  renewed: number;
  models: number;
  proxy: boolean;
  warnings: string[];
}

/**
 * Takes the accounts, models and proxy of a `business_gemini_session.json` in. Accounts are matched
 * by csesidx; models that are there already stay as they are.
 * @throws AppError `invalid_request` if the text is not of that form
 */
export async function importLegacyConfig(json: string): Promise<ImportResult> {
  return storeLegacyConfig(parseLegacyConfig(json));
}

/** As `importLegacyConfig`, of what was read already. */
export async function storeLegacyConfig(config: LegacyConfig): Promise<ImportResult> {
  const { added, renewed, ids } = await saveAccounts(config.accounts);
  const models = await addModels(
    config.models.map(({ definition, accountIndex }) => {
      const accountId = accountIndex === null ? undefined : ids[accountIndex];
      return { ...definition, accountIds: accountId ? [accountId] : [] };
    }),
  );
  if (config.proxyUrl) await updateSettings({ proxyUrl: config.proxyUrl });
  return { added, renewed, models, proxy: config.proxyUrl !== null, warnings: config.warnings };
}
