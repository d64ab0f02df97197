/**
 * What is wrong with a proxy: it can't be reached or does not answer as one, it wants other
 * credentials, or it works and finds no way to the host that was asked for.
 */
export type ProxyTrouble = 'PROXY_UNREACHABLE' | 'PROXY_AUTH' | 'PROXY_NO_ROUTE';

const brand = Symbol.for('business-gemini-pool.proxy-error');

/**
 * A connection that a proxy is to blame for. It has no `cause`: what the libraries throw may hold
 * the proxy's password.
 */
export class ProxyError extends Error {
  readonly [brand] = true;
  override readonly name = 'ProxyError';
  readonly code: ProxyTrouble;

  constructor(code: ProxyTrouble, message: string) {
    super(message);
    this.code = code;
  }
}

/** True for a `ProxyError` of any module copy. */
export function isProxyError(error: unknown): error is ProxyError {
  return typeof error === 'object' && error !== null && brand in error;
}
