import net, { BlockList } from 'node:net';

type Family = 'ipv4' | 'ipv6';
type Range = [network: string, prefix: number];

/** Special-purpose IPv4 ranges of IANA's registry, and one host that only looks public. */
const privateV4 = blockList('ipv4', [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // Where most clouds tell a machine its credentials (169.254.169.254).
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Azure's, inside each of its machines.
  ['168.63.129.16', 32],
]);

/** All that IPv6 has for the internet; loopback, local, multicast and the rest lie outside. */
const globalV6 = blockList('ipv6', [['2000::', 3]]);

/** What is no host of the internet within that. */
const reservedV6 = blockList('ipv6', [
  // Protocols' own, among them Teredo, which has an IPv4 address in it.
  ['2001::', 23],
  ['2001:db8::', 32],
  // 6to4, which has an IPv4 address in it.
  ['2002::', 16],
  ['3fff::', 20],
]);

/** Addresses and ranges that the operator listed. */
export interface AddressList {
  /** An IPv4 address counts also in its IPv6 notation, as sockets tell it: `::ffff:10.0.0.1`. */
  has(address: string): boolean;
}

/** What of the private network the operator opened for addresses that somebody else names. */
export interface Allowances {
  /** As the operator wrote it. */
  readonly text: string;
  /** `host` as in a URL, `address` an IP address that it leads to. */
  allows(host: string, port: number, address: string): boolean;
}

/**
 * Whether an IP address is one of the public internet. IPv6 that wraps an IPv4 address (mapped, NAT64)
 * is what that one is; of 6to4 and Teredo, which nobody serves from any more, none is public.
 */
export function isPublicAddress(address: string): boolean {
  const read = readAddress(address);
  if (read === null) return false;
  if (read.family === 'ipv4') return !privateV4.check(read.text, 'ipv4');
  const translated = wrappedV4(read.text, '64:ff9b::');
  if (translated !== null) return !privateV4.check(translated, 'ipv4');
  return globalV6.check(read.text, 'ipv6') && !reservedV6.check(read.text, 'ipv6');
}

/** The host of a URL without the brackets of IPv6 and without the dot at a name's end. */
export function plainHost(host: string): string {
  return host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
}

/**
 * A comma list of IP addresses and CIDR ranges; an empty one has nothing.
 * @throws Error that names the first wrong entry
 */
export function parseAddressList(text: string): AddressList {
  const lists = entriesOf(text).map((entry) => {
    const addresses = readRange(entry);
    if (addresses === null) throw new Error(`"${entry}" is no IP address and no CIDR range`);
    return addresses;
  });
  return { has: (address) => lists.some((addresses) => isIn(addresses, address)) };
}

/**
 * A comma list of host names, IP addresses, either with `:port` or for every port, and CIDR ranges.
 * A name allows whatever address it leads to; an address or a range allows every name that leads
 * there. An empty list allows nothing.
 * @throws Error that names the first wrong entry
 */
export function parseAllowances(text: string): Allowances {
  const rules = entriesOf(text).map(readAllowance);
  return {
    text,
    allows(host, port, address) {
      const name = plainHost(host);
      return rules.some(
        (rule) =>
          (rule.port === null || rule.port === port) &&
          (rule.name === null ? isIn(rule.addresses, address) : rule.name === name),
      );
    },
  };
}

type Allowance = { port: number | null } & (
  | { name: string }
  | { name: null; addresses: BlockList }
);

function readAllowance(entry: string): Allowance {
  const range = readRange(entry);
  if (range !== null) return { name: null, addresses: range, port: null };
  const [, host = '', digits] = /^(\[[^\]]*\]|[\p{L}\p{N}._-]+)(?::(\d{1,5}))?$/u.exec(entry) ?? [];
  const port = digits === undefined ? null : Number(digits);
  if (URL.canParse(`http://${host}`) && port !== 0 && (port ?? 1) <= 65_535) {
    const name = plainHost(new URL(`http://${host}`).hostname);
    const addresses = readRange(plainHost(host));
    if (addresses !== null) return { name: null, addresses, port };
    // Other notations of an address, such as 010.0.0.1, do not mean what they seem to.
    if (!net.isIP(name)) return { name, port };
  }
  throw new Error(`"${entry}" is no host, no IP address, neither with a port, and no CIDR range`);
}

function entriesOf(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** One address or a CIDR range. */
function readRange(entry: string): BlockList | null {
  const [, text = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
  const address = readAddress(text);
  if (address === null) return null;
  const bits = address.family === 'ipv4' ? 32 : 128;
  const prefix = Number(digits ?? bits);
  return prefix > bits ? null : blockList(address.family, [[address.text, prefix]]);
}

function isIn(addresses: BlockList, address: string): boolean {
  const read = readAddress(address);
  return read !== null && addresses.check(read.text, read.family);
}

function blockList(family: Family, ranges: Range[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, family);
  return list;
}

/** An address in its one short notation; an IPv4 address that IPv6 only maps is taken as itself. */
function readAddress(text: string): { text: string; family: Family } | null {
  if (net.isIPv4(text)) return { text, family: 'ipv4' };
  // A zone (`fe80::1%eth0`) makes sense on this machine's own links alone.
  if (!net.isIPv6(text) || text.includes('%')) return null;
  const short = plainHost(new URL(`http://[${text}]`).hostname);
  const mapped = wrappedV4(short, '::ffff:');
  return mapped === null ? { text: short, family: 'ipv6' } : { text: mapped, family: 'ipv4' };
}

/** The IPv4 address in the last 32 bits of a short IPv6 notation that begins with `prefix`. */
function wrappedV4(short: string, prefix: string): string | null {
  if (!short.startsWith(prefix)) return null;
  const groups = /^([\da-f]{1,4}):([\da-f]{1,4})$/.exec(short.slice(prefix.length));
  if (groups === null) return null;
  return groups
    .slice(1)
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 255])
    .join('.');
}
