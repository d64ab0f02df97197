import { afterEach, describe, expect, it, vi } from 'vitest';
import { publicUrlOf } from '@/api/public-url';
import { type Env, parseEnv } from '@/platform/env';

const values = vi.hoisted(() => ({ env: {} as Env }));
vi.mock('@/platform/env', async (original) => ({
  ...(await original<typeof import('@/platform/env')>()),
  env: () => values.env,
}));

const proxy = '10.0.0.1';

afterEach(() => surroundings({}));

function surroundings(source: Record<string, string>): void {
  values.env = parseEnv({ TRUST_PROXY: '10.0.0.0/8', ...source });
}
surroundings({});

function from(
  remoteAddress: string | null,
  headers: Record<string, string>,
  configured: string | null = null,
): string {
  const request = new Request('http://127.0.0.1/', { headers });
  const socket = { remoteAddress, localPort: 8000 };
  const runtime = remoteAddress && { node: { req: { socket } } };
  return publicUrlOf(Object.assign(request, { runtime }), configured);
}

it('is the setting, else the variable, whatever the request says', () => {
  const headers = { host: 'a.example', 'x-forwarded-host': 'b.example' };
  surroundings({ PUBLIC_URL: 'https://c.example/pool/' });
  expect(from(proxy, headers)).toBe('https://c.example/pool');
  expect(from(proxy, headers, 'https://d.example/')).toBe('https://d.example');
});

describe('by the Host header', () => {
  it.each([
    ['pool.example:8000', 'http://pool.example:8000'],
    ['Pool.Example', 'http://pool.example'],
    ['[::1]:8000', 'http://[::1]:8000'],
    ['my_service:80', 'http://my_service'],
  ])('%s', (host, url) => {
    expect(from('192.0.2.1', { host })).toBe(url);
    expect(from(null, { host })).toBe(url);
  });

  it.each([
    '',
    'a.example/path',
    'a.example)',
    'a.example](http://evil.example',
    'user@a.example',
    'a.example?',
    'a.example#',
    'a.example:99999',
    'a b',
    '<a.example>',
    '[::1',
    'a.example\\',
    '%2e.example',
  ])('falls back for %j', (host) => {
    expect(from('192.0.2.1', { host })).toBe('http://127.0.0.1:8000');
  });

  it('falls back to the port that is set where the socket is not known', () => {
    surroundings({ PORT: '9000' });
    expect(from(null, {})).toBe('http://127.0.0.1:9000');
  });
});

describe('by X-Forwarded-*', () => {
  const headers = {
    host: 'inner:8000',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'pool.example',
  };

  it('believes a proxy that is trusted, and nobody else', () => {
    expect(from(proxy, headers)).toBe('https://pool.example');
    expect(from(`::ffff:${proxy}`, headers)).toBe('https://pool.example');
    expect(from('192.0.2.1', headers)).toBe('http://inner:8000');
    expect(from(null, headers)).toBe('http://inner:8000');
    surroundings({ TRUST_PROXY: '' });
    expect(from(proxy, headers)).toBe('http://inner:8000');
  });

  it.each<[Record<string, string>, string]>([
    [{ 'x-forwarded-host': '' }, 'https://inner:8000'],
    [{ 'x-forwarded-proto': '' }, 'http://pool.example'],
    [{ 'x-forwarded-proto': 'javascript' }, 'http://pool.example'],
    [{ 'x-forwarded-proto': 'https, http' }, 'https://pool.example'],
    [{ 'x-forwarded-host': 'pool.example, inner' }, 'https://pool.example'],
    [{ 'x-forwarded-host': 'pool.example:8443' }, 'https://pool.example:8443'],
    [{ 'x-forwarded-port': '8443' }, 'https://pool.example:8443'],
    [{ 'x-forwarded-port': '443' }, 'https://pool.example'],
    [{ 'x-forwarded-port': 'x' }, 'https://pool.example'],
    [{ 'x-forwarded-port': '99999' }, 'https://pool.example'],
    [
      { 'x-forwarded-host': 'pool.example:8443', 'x-forwarded-port': '1' },
      'https://pool.example:8443',
    ],
    [{ 'x-forwarded-prefix': '/pool/v1/' }, 'https://pool.example/pool/v1'],
    [{ 'x-forwarded-prefix': '/' }, 'https://pool.example'],
    [{ 'x-forwarded-prefix': '//evil.example' }, 'https://pool.example'],
    [{ 'x-forwarded-prefix': '/a/../b' }, 'https://pool.example'],
    [{ 'x-forwarded-prefix': '/a)' }, 'https://pool.example'],
    [{ 'x-forwarded-host': 'pool.example/)' }, 'http://inner:8000'],
  ])('%j', (changed, url) => {
    expect(from(proxy, { ...headers, ...changed })).toBe(url);
  });
});
