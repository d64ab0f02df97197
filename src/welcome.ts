import { allAccounts } from '@/features/accounts/account-table';
import { listKeys } from '@/features/keys/keys';
import { version } from '@/platform/version';

/** The commands that a new operator needs next; none when accounts and a key are there. */
export async function nextSteps(): Promise<string[]> {
  const hasAccounts = (await allAccounts()).size > 0;
  const hasKey = (await listKeys()).some((key) => key.revokedAt === null);
  return [
    ...(hasAccounts ? [] : ['npm run account -- import business_gemini_session.json']),
    ...(hasKey ? [] : ['npm run key -- create my-first-key']),
  ];
}

/** What the terminal shows when the server is up: where it is, and what to do next. */
export function welcome(host: string, port: number, steps: string[]): string {
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const base = `http://${shown}:${port}`;
  const next = steps.length > 0 ? `\n  Next      ${steps.join('\n            ')}\n` : '';
  return `
  Business Gemini Pool ${version}

  Base URL  ${base}/v1   for OpenAI clients
  Page      ${base}/     the web console comes later
${next}
`;
}
