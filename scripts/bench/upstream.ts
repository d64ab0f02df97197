import { SignJWT } from 'jose';
import { demoAccount } from '../../e2e/stand-in/accounts';

/** The two upstream calls of one question, with nothing around them, as the stand-in takes them. */

export const createSessionPath = '/v1alpha/locations/global/widgetCreateSession';
export const streamAssistPath = '/v1alpha/locations/global/widgetStreamAssist';

/** An access token holds 300 s (upstream-protocol 5); a new one is made well before that. */
export const TOKEN_RENEWAL_MS = 200_000;

const LIFE_SECONDS = 300;
const app = 'https://business.gemini.google';
const account = demoAccount(1);
const envelope = { configId: account.team_id, additionalParams: { token: '-' } };

/**
 * Fetches a signing key with the first demo account's cookies and makes the headers of both calls.
 * @throws Error if the stand-in gives no key
 */
export async function mintHeaders(standInUrl: string): Promise<Record<string, string>> {
  const response = await fetch(`${standInUrl}/auth/getoxsrf?csesidx=${account.csesidx}`, {
    headers: {
      cookie: `__Secure-C_SES=${account.secure_c_ses}; __Host-C_OSES=${account.host_c_oses}`,
    },
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`The stand-in gave no key: ${response.status} ${text}`);
  const key = JSON.parse(text.slice(text.indexOf('{'))) as { keyId: string; xsrfToken: string };
  return {
    authorization: `Bearer ${await sign(key)}`,
    'content-type': 'application/json',
    accept: '*/*',
    origin: app,
    referer: `${app}/`,
    'user-agent': account.user_agent,
  };
}

function sign({ keyId, xsrfToken }: { keyId: string; xsrfToken: string }): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1_000);
  return new SignJWT({
    iss: app,
    aud: 'https://biz-discoveryengine.googleapis.com',
    sub: `csesidx/${account.csesidx}`,
    iat: issuedAt,
    exp: issuedAt + LIFE_SECONDS,
    nbf: issuedAt,
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: keyId })
    .sign(Buffer.from(xsrfToken, 'base64url'));
}

/** Body of the call that opens a session. */
export const createSessionBody = JSON.stringify({
  ...envelope,
  createSessionRequest: { session: { name: '', displayName: '' } },
});

/** The session's name in the reply of that call. */
export function sessionNameOf(reply: string): string {
  return (JSON.parse(reply) as { session: { name: string } }).session.name;
}

/** Body of the call that asks. */
export function streamAssistBody(session: string, prompt: string): string {
  return JSON.stringify({
    ...envelope,
    streamAssistRequest: {
      session,
      query: { parts: [{ text: prompt }] },
      filter: '',
      fileIds: [],
      answerGenerationMode: 'NORMAL',
      toolsSpec: { toolRegistry: 'default_tool_registry', webGroundingSpec: {} },
      languageCode: 'en-US',
      userMetadata: { timeZone: 'Etc/UTC' },
      assistSkippingMode: 'REQUEST_ASSIST',
    },
  });
}
