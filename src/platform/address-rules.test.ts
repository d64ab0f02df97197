import { describe, expect, it } from 'vitest';
import { isPublicAddress, parseAddressList, parseAllowances } from '@/platform/address-rules';

describe('isPublicAddress', () => {
  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2A00:1450:4001::200E',
    '2001:4860:4860::8888',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:FFFF:0808:0808',
    '64:ff9b::8.8.8.8',
  ])('takes %s', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each([
    '0.0.0.0',
    '0.1.2.3',
    '10.255.255.255',
    '100.64.0.0',
    '100.100.100.200',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '168.63.129.16',
    '169.254.169.254',
    '172.16.0.0',
    '172.31.255.255',
    '192.0.0.192',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
  ])('refuses %s, also within IPv6', (address) => {
    const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
    const group = (high: number, low: number) => (high * 256 + low).toString(16);
    const hex = `${group(a, b)}:${group(c, d)}`;
    for (const notation of [
      address,
      `::ffff:${address}`,
      `0:0:0:0:0:ffff:${hex}`,
      `::${address}`,
      `::ffff:0:${address}`,
      `64:ff9b::${address}`,
      `64:ff9b:0:0:0:0:${hex}`,
      `64:ff9b:1::${address}`,
      `2002:${hex}::1`,
      `2001:0:${hex}::1`,
    ]) {
      expect(isPublicAddress(notation), notation).toBe(false);
    }
  });

  it.each([
    '::',
    '::1',
    '0:0:0:0:0:0:0:1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    '2606:4700::1%eth0',
    'febf::1',
    'fec0::1',
    'ff02::1',
    '100::1',
    '5f00::1',
    '2001:db8::1',
    '3fff::1',
    '2001::1',
    '2001:10::1',
  ])('refuses %s', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(['', 'example.com', '2130706433', '0x7f.1', '127.1', '[::1]', '8.8.8.8.', '8.8.8.8:80'])(
    'refuses %j, which is no address',
    (text) => {
      expect(isPublicAddress(text)).toBe(false);
    },
  );
});

describe('parseAllowances', () => {
  it('allows nothing when empty', () => {
    for (const text of ['', ' , ']) {
      expect(parseAllowances(text).allows('localhost', 80, '127.0.0.1')).toBe(false);
    }
  });

  it('allows a name at every port, or at one, wherever it leads', () => {
    const { allows } = parseAllowances('Minio.internal, images:8080');
    expect(allows('minio.internal', 9000, '10.0.0.1')).toBe(true);
    expect(allows('MINIO.internal.', 80, 'fd00::1')).toBe(true);
    expect(allows('images', 8080, '10.0.0.1')).toBe(true);
    expect(allows('images', 80, '10.0.0.1')).toBe(false);
    expect(allows('evil.minio.internal', 9000, '10.0.0.1')).toBe(false);
    expect(allows('internal', 9000, '10.0.0.1')).toBe(false);
  });

  it('allows an address and a range under every name', () => {
    const { allows } = parseAllowances('127.0.0.1,10.1.2.3/8,fd00::/8,192.168.0.9:81,[::1]:82');
    expect(allows('localhost', 1, '127.0.0.1')).toBe(true);
    expect(allows('[::ffff:7f00:1]', 1, '::ffff:127.0.0.1')).toBe(true);
    expect(allows('any.example', 1, '10.200.0.1')).toBe(true);
    expect(allows('any.example', 1, 'fd12::1')).toBe(true);
    expect(allows('192.168.0.9', 81, '192.168.0.9')).toBe(true);
    expect(allows('[::1]', 82, '::1')).toBe(true);
    expect(allows('127.0.0.2', 1, '127.0.0.2')).toBe(false);
    expect(allows('any.example', 1, '11.0.0.1')).toBe(false);
    expect(allows('192.168.0.9', 80, '192.168.0.9')).toBe(false);
    expect(allows('[::1]', 80, '::1')).toBe(false);
  });

  it('has no IPv6 in a range of IPv4', () => {
    expect(parseAllowances('0.0.0.0/0').allows('a', 1, '10.0.0.1')).toBe(true);
    expect(parseAllowances('0.0.0.0/0').allows('a', 1, '::1')).toBe(false);
    expect(parseAllowances('::/0').allows('a', 1, '::1')).toBe(true);
  });

  it.each([
    'http://images',
    'images/path',
    '*.example.com',
    'two words',
    'images:0',
    'images:65536',
    'images:port',
    'user@images',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/8:80',
    '010.0.0.1',
    '2130706433',
    '[fd00::',
    '[images]',
  ])('names the wrong entry %j', (entry) => {
    expect(() => parseAllowances(`localhost, ${entry}`)).toThrow(`"${entry}" is no host`);
  });
});

describe('parseAddressList', () => {
  it('has its addresses and ranges', () => {
    const { has } = parseAddressList('127.0.0.1, 10.0.0.0/8, ::1,fd00::/8');
    for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '10.9.8.7', '::1', 'fdff::1']) {
      expect(has(address), address).toBe(true);
    }
    for (const address of ['127.0.0.2', '11.0.0.1', '::2', 'fc00::1', '', 'localhost']) {
      expect(has(address), address).toBe(false);
    }
  });

  it('takes no names', () => {
    expect(() => parseAddressList('127.0.0.1,localhost')).toThrow('"localhost" is no IP address');
  });
});
