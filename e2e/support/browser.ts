import { type Browser, chromium } from 'playwright';

/** Chromium as Debian has it, kept from calling home. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

/** Starts the Chromium that `CHROMIUM_PATH` names, else Playwright's own. The caller must close it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(process.env.CHROMIUM_PATH && { executablePath: process.env.CHROMIUM_PATH }),
    args: ARGUMENTS,
  });
}
