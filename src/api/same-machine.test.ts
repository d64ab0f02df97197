import { expect, it } from 'vitest';
import { isFromSameMachine } from '@/api/same-machine';

function ask(remoteAddress: string | undefined, headers: Record<string, string>): boolean {
  const request = new Request('http://127.0.0.1/', { headers });
  const runtime = remoteAddress && { node: { req: { socket: { remoteAddress } } } };
  return isFromSameMachine(Object.assign(request, { runtime }));
}

it.each(['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1'])(
  'takes a socket of %s',
  (address) => {
    expect(ask(address, { host: 'localhost:8000' })).toBe(true);
  },
);

it.each(['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '127.evil', ''])('refuses %j', (address) => {
  expect(ask(address, { host: 'localhost:8000' })).toBe(false);
});

it('refuses what does not tell its socket', () => {
  expect(ask(undefined, { host: 'localhost:8000' })).toBe(false);
});

it.each(['127.0.0.1:8000', 'LOCALHOST', '[::1]:8000', '[::1]', 'pool.localhost:1'])(
  'takes the name %s',
  (host) => {
    expect(ask('127.0.0.1', { host })).toBe(true);
  },
);

it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1:8000', ''])(
  'refuses the name %j, to which a page of another site may have pointed its own name',
  (host) => {
    expect(ask('127.0.0.1', { host })).toBe(false);
  },
);

it.each([
  'x-forwarded-for',
  'x-forwarded-host',
  'forwarded',
  'via',
  'x-real-ip',
  'x-forwarded',
  'x-original-forwarded-for',
  'x-envoy-external-address',
  'x-cluster-client-ip',
  'cdn-loop',
  'true-client-ip',
  'fastly-client-ip',
  'fly-client-ip',
  'cf-connecting-ip',
])('refuses what came past a proxy: %s', (name) => {
  expect(ask('127.0.0.1', { host: 'localhost', [name]: 'x' })).toBe(false);
});
