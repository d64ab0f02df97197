/** Base URLs of the upstream (protocol 2.1), without a trailing slash. */
export interface GeminiEndpoints {
  /** Web app; hands out the signing key. */
  appUrl: string;
  /** Sign-in pages and cookie renewal. */
  authUrl: string;
  /** Widget API: sessions, chat, files. */
  apiUrl: string;
  /** Page where the mailed code is typed. */
  verifyUrl: string;
}

/** What the upstream expects to be told about itself (protocol 5, 6 and 26). */
export interface Flavour {
  issuer: string;
  audience: string;
  /** For `origin`, and with a slash behind it for `referer`. */
  origin: string;
}

const business: Flavour = {
  issuer: 'https://business.gemini.google',
  audience: 'https://biz-discoveryengine.googleapis.com',
  origin: 'https://business.gemini.google',
};

const enterprise: Flavour = {
  issuer: 'https://vertexaisearch.cloud.google',
  audience: 'https://content-discoveryengine.googleapis.com',
  origin: 'https://vertexaisearch.cloud.google',
};

/**
 * The flavour of these base URLs: Enterprise for its own pair of app and API host (protocol 26),
 * Business for all others, so that a stand-in or a reverse proxy sees what Business would see.
 */
export function flavourOf(endpoints: GeminiEndpoints): Flavour {
  const isEnterprise =
    endpoints.appUrl === enterprise.issuer && endpoints.apiUrl === enterprise.audience;
  return isEnterprise ? enterprise : business;
}
