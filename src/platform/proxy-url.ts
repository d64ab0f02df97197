/** What is said of a proxy that `isProxyUrl` does not take. */
export const PROXY_URL_RULE =
  'must be http://, https://, socks5:// or socks5h:// with a host; SOCKS names and passwords have at most 255 bytes';

const usualPorts = { http: 80, https: 443, socks5: 1080 };

/** The most that SOCKS5 can carry of each of name and password. */
const longestSocksWordBytes = 255;

export interface ProxyAddress {
  scheme: keyof typeof usualPorts;
  /** A name or an IP address, without brackets. */
  host: string;
  port: number;
  /** Empty where there is none, as the password. */
  user: string;
  password: string;
}

/** True for the address of a proxy that we can use; it may hold a name and a password. */
export function isProxyUrl(text: string): boolean {
  const address = readProxyUrl(text);
  return address !== null && (address.scheme !== 'socks5' || fitsSocks(address));
}

/**
 * The parts of a proxy's address. `socks5h` is the same as `socks5`: names are always resolved by
 * the proxy.
 * @throws Error, without the address in it, for what `isProxyUrl` does not take
 */
export function parseProxyUrl(text: string): ProxyAddress {
  const address = readProxyUrl(text);
  if (address === null) throw new Error(`A proxy ${PROXY_URL_RULE}`);
  return address;
}

/** Where requests leave, fit for every eye: `direct`, or scheme, host and port without credentials. */
export function exitName(proxyUrl: string | null): string {
  if (proxyUrl === null) return 'direct';
  const address = readProxyUrl(proxyUrl);
  if (address === null) return 'unreadable proxy';
  const { scheme, host, port } = address;
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function readProxyUrl(text: string): ProxyAddress | null {
  if (!/^(https?|socks5h?):\/\/[^\p{Cc}\s]+$/iu.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (url.hostname === '' || url.port === '0') return null;
  const scheme = url.protocol.startsWith('socks5')
    ? 'socks5'
    : (url.protocol.slice(0, -1) as 'http');
  try {
    return {
      scheme,
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(url.port || usualPorts[scheme]),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    };
  } catch {
    return null;
  }
}

function fitsSocks({ user, password }: ProxyAddress): boolean {
  return [user, password].every(
    (word) => new TextEncoder().encode(word).length <= longestSocksWordBytes,
  );
}
