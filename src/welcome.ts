import { version } from '@/platform/version';

/** What the terminal shows when the server is up: where it is, and what to do next. */
export function welcome(host: string, port: number): string {
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const base = `http://${shown}:${port}`;
  return `
  Business Gemini Pool ${version}

  Console   ${base}/
  Base URL  ${base}/v1   for OpenAI clients

  Next      npm run account -- import business_gemini_session.json
            npm run key -- create my-first-key

`;
}
