import { expect, it } from 'vitest';
import { exitName, isProxyUrl, parseProxyUrl } from '@/platform/proxy-url';

it.each([
  'http://127.0.0.1:8080',
  'https://proxy.example.com',
  'socks5://user:p%20w@127.0.0.1:1080',
  'socks5h://127.0.0.1',
  'SOCKS5://[::1]:9',
])('takes %s', (url) => {
  expect(isProxyUrl(url)).toBe(true);
});

it.each([
  '',
  'nonsense',
  'ftp://x',
  '127.0.0.1:8080',
  'http://',
  'socks5://',
  'socks5://:1080',
  'http://user:%zz@h:9',
  'http://h:99999',
  // More than SOCKS5 can carry.
  `socks5://user:${'p'.repeat(256)}@h`,
  `socks5://${'%E4%BD%A0'.repeat(86)}@h`,
])('refuses %j', (url) => {
  expect(isProxyUrl(url)).toBe(false);
});

it('takes long credentials where HTTP carries them', () => {
  expect(isProxyUrl(`http://user:${'p'.repeat(256)}@h`)).toBe(true);
});

it('reads the parts', () => {
  expect(parseProxyUrl('http://us%20er:p%40%3A%2F%25@h.example')).toEqual({
    scheme: 'http',
    host: 'h.example',
    port: 80,
    user: 'us er',
    password: 'p@:/%',
  });
  expect(parseProxyUrl('socks5h://[::1]')).toEqual({
    scheme: 'socks5',
    host: '::1',
    port: 1080,
    user: '',
    password: '',
  });
});

it('does not show what it could not read', () => {
  expect(() => parseProxyUrl('ftp://user:secret@h')).toThrow(/^(?!.*secret)/);
});

it.each([
  [null, 'direct'],
  ['http://user:secret@Proxy.example:80', 'http://proxy.example:80'],
  ['https://secret@proxy.example', 'https://proxy.example:443'],
  ['https://:secret@proxy.example:8443/secret?secret#secret', 'https://proxy.example:8443'],
  ['socks5h://user:secret@[::1]', 'socks5://[::1]:1080'],
  ['http://user:%zzsecret@h', 'unreadable proxy'],
  ['secret', 'unreadable proxy'],
])('the name of %j is %s', (proxyUrl, name) => {
  expect(exitName(proxyUrl)).toBe(name);
});
