/**
 * Fills a demo's data folder: the accounts that the stand-in upstream has by itself, and an API key
 * made anew, printed as the last line.
 */
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createKey, listKeys, revokeKey } from '@/features/keys/keys';
import { prepareFirstStart } from '@/features/transfer/first-start';
import { importLegacyConfig } from '@/features/transfer/import-legacy';
import { env } from '@/platform/env';
import { demoAccounts, seedFile } from '../e2e/stand-in/accounts';
import { runCommand } from './command-line.ts';

const HELP = 'node --import tsx scripts/demo-data.ts KEY_NAME';

await runCommand(HELP, async ([keyName]) => {
  if (!keyName) return false;
  const accountFile = JSON.stringify(seedFile(demoAccounts(3)));
  // The first start takes place here, with this file, before it could find a real one in the current
  // folder; from then on only the demo's cookies are made new.
  const place = path.join(env().dataDir, 'business_gemini_session.json');
  writeFileSync(place, accountFile, { mode: 0o600 });
  await prepareFirstStart();
  rmSync(place);
  await importLegacyConfig(accountFile);
  const keys = await listKeys();
  if (keys.some((key) => key.name === keyName && key.revokedAt === null)) await revokeKey(keyName);
  console.log(await createKey({ name: keyName, models: null, expiresAtMs: null }));
  return true;
});
