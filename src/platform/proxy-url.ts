/** What is said of a proxy that `isProxyUrl` does not take. */
export const PROXY_URL_RULE = 'must begin with http://, https:// or socks5://';

/** True for the address of a proxy that we can use; it may hold a name and a password. */
export function isProxyUrl(text: string): boolean {
  if (!/^(https?|socks5h?):\/\//i.test(text) || !URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  try {
    // They are decoded when they are used.
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}
