import type { Language } from '@/console/language';
import { messages } from '@/console/welcome/messages';

/** The one plain page until the console comes: what this is, the base URL, the next commands. */
export function Welcome({ origin, language }: { origin: string; language: Language }) {
  const words = messages[language];
  const baseUrl = `${origin}/v1`;
  const request = `curl ${baseUrl}/chat/completions \\
  -H "Authorization: Bearer $KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "gemini-enterprise", "messages": [{"role": "user", "content": "Hello!"}]}'`;
  return (
    <main>
      <h1>Business Gemini Pool</h1>
      <p className="lead">{words.lead}</p>
      <p className="status">{words.running}</p>
      <h2>{words.baseUrl}</h2>
      <pre>
        <code>{baseUrl}</code>
      </pre>
      <h2>{words.next}</h2>
      <ol>
        <li>
          {words.importAccounts}
          <pre>
            <code>npm run account -- import business_gemini_session.json</code>
          </pre>
        </li>
        <li>
          {words.createKey}
          <pre>
            <code>npm run key -- create my-first-key</code>
          </pre>
        </li>
        <li>
          {words.chat}
          <pre>
            <code>{request}</code>
          </pre>
        </li>
      </ol>
      <p className="later">{words.later}</p>
    </main>
  );
}
