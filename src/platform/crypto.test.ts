import fs, { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { decrypt, encrypt, KEY_FILE, loadEncryptionKey, toEncryptionKey } from '@/platform/crypto';
import { newFolder } from '../../e2e/support/data-folder';

vi.mock('node:fs', async (original) => {
  const actual = await original<typeof import('node:fs')>();
  return { ...actual, existsSync: vi.fn(actual.existsSync) };
});

const dataDir = newFolder('crypto');
process.env.DATA_DIR = dataDir;
delete process.env.ENCRYPTION_KEY;

it('takes a key as hex or base64, and stretches any other text of 16 characters or more', () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
  expect(toEncryptionKey(key.toString('hex'))).toEqual(key);
  expect(toEncryptionKey(key.toString('base64'))).toEqual(key);
  const stretched = toEncryptionKey('a passphrase of some length');
  expect(stretched).toHaveLength(32);
  expect(toEncryptionKey('a passphrase of some length')).toEqual(stretched);
  expect(() => toEncryptionKey('fifteen charact')).toThrow('16 characters');
});

it('makes a key only where it may, readable by its owner only', () => {
  expect(() => loadEncryptionKey(false)).toThrow('key is missing');
  loadEncryptionKey(true);
  const file = path.join(dataDir, KEY_FILE);
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  expect(fs.readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
  expect(fs.readdirSync(dataDir)).toEqual([KEY_FILE]);
});

/** As a process that starts anew. */
function forgetKey() {
  const states = (globalThis as unknown as Record<symbol, Map<string, unknown>>)[
    Symbol.for('business-gemini-pool')
  ];
  states?.delete('encryption-key');
}

it('takes the key of the process that was first, where two make one at once', () => {
  const sealed = encrypt('secret');
  forgetKey();
  vi.mocked(existsSync).mockReturnValueOnce(false);
  loadEncryptionKey(true);
  expect(decrypt(sealed)).toBe('secret');
  expect(fs.readdirSync(dataDir)).toEqual([KEY_FILE]);
});

it.each(['', '\n', 'abc', 'a'.repeat(63), `${'g'.repeat(64)}\n`])(
  'names the key file that holds %j',
  (text) => {
    const file = path.join(dataDir, KEY_FILE);
    const good = fs.readFileSync(file);
    fs.writeFileSync(file, text);
    forgetKey();
    expect(() => loadEncryptionKey(true)).toThrow(file);
    expect(() => loadEncryptionKey(true)).not.toThrow('ENCRYPTION_KEY');
    fs.writeFileSync(file, good);
    loadEncryptionKey(false);
  },
);

it('seals and unseals, never twice the same, and notices every change', () => {
  const sealed = encrypt('CSE.秘密');
  expect(decrypt(sealed)).toBe('CSE.秘密');
  expect(encrypt('CSE.秘密')).not.toBe(sealed);
  expect(sealed).not.toContain('CSE');
  for (const broken of [
    sealed.slice(0, -2),
    `${sealed.slice(0, 10)}A${sealed.slice(11)}x`,
    'v1.',
    'v2.abc',
    '',
  ]) {
    expect(() => decrypt(broken)).toThrow('does not fit');
  }
});
