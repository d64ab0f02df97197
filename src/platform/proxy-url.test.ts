import { expect, it } from 'vitest';
import { isProxyUrl } from '@/platform/proxy-url';

it.each([
  'http://127.0.0.1:8080',
  'https://proxy.example.com',
  'socks5://user:p%20w@127.0.0.1:1080',
  'socks5h://127.0.0.1',
])('takes %s', (url) => {
  expect(isProxyUrl(url)).toBe(true);
});

it.each(['', 'nonsense', 'ftp://x', '127.0.0.1:8080', 'http://', 'http://user:%zz@h:9'])(
  'refuses %j',
  (url) => {
    expect(isProxyUrl(url)).toBe(false);
  },
);
