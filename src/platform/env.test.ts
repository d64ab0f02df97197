import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseEnv } from '@/platform/env';

describe('parseEnv', () => {
  it('has a default for everything', () => {
    expect(parseEnv({})).toMatchObject({
      host: '0.0.0.0',
      port: 8000,
      dataDir: path.resolve('data'),
      databaseUrl: `file:${path.resolve('data/pool.db')}`,
      encryptionKey: null,
      geminiAppUrl: 'https://business.gemini.google',
      logLevel: 'info',
    });
  });

  it('counts an empty value as unset', () => {
    expect(parseEnv({ PORT: '', LOG_LEVEL: '' })).toMatchObject({ port: 8000, logLevel: 'info' });
  });

  it('trims values, and counts a blank one as unset', () => {
    expect(parseEnv({ PORT: ' ', HOST: '\t', SERVER_PORT: ' ' })).toMatchObject({
      port: 8000,
      host: '0.0.0.0',
    });
    expect(parseEnv({ PORT: ' 9000\n', LOG_LEVEL: ' warn ' })).toMatchObject({
      port: 9000,
      logLevel: 'warn',
    });
    expect(parseEnv({ PORT: ' ', SERVER_PORT: '9000' }).port).toBe(9000);
  });

  it('takes the older names, after the newer ones', () => {
    expect(parseEnv({ SERVER_PORT: '9000' }).port).toBe(9000);
    expect(parseEnv({ SERVER_PORT: '9000', PORT: '9001' }).port).toBe(9001);
    const key = 'a passphrase of some length';
    expect(parseEnv({ API_KEY_ENCRYPTION_KEY: key }).encryptionKey).toBe(key);
  });

  it('resolves relative places', () => {
    const env = parseEnv({ DATA_DIR: 'elsewhere', DATABASE_URL: 'file:./x.db' });
    expect(env.dataDir).toBe(path.resolve('elsewhere'));
    expect(env.databaseUrl).toBe(`file:${path.resolve('x.db')}`);
  });

  it('takes plain http for the upstream on loopback only', () => {
    expect(parseEnv({ GEMINI_APP_URL: 'http://127.0.0.1:1/' }).geminiAppUrl).toBe(
      'http://127.0.0.1:1',
    );
    for (const url of [
      'http://example.com',
      'http://127.evil.example',
      'nonsense',
      'ftp://127.0.0.1',
    ]) {
      expect(() => parseEnv({ GEMINI_APP_URL: url })).toThrow('GEMINI_APP_URL: must begin');
    }
  });

  it('names every wrong variable and the mend', () => {
    const wrong = {
      PORT: '70000',
      LOG_LEVEL: 'loud',
      PROXY_URL: 'ftp://x',
      ENCRYPTION_KEY: 'short',
    };
    for (const name of Object.keys(wrong)) expect(() => parseEnv(wrong)).toThrow(name);
    expect(() => parseEnv(wrong)).toThrow('Unset it for the default (8000)');
  });

  it('names a wrong value by the name that it was given under', () => {
    expect(() => parseEnv({ SERVER_PORT: 'x' })).toThrow(/^.*\n {2}SERVER_PORT: /);
    expect(() => parseEnv({ PORT: 'x', SERVER_PORT: '9000' })).toThrow(/\n {2}PORT: /);
    expect(() => parseEnv({ API_KEY_ENCRYPTION_KEY: 'short' })).toThrow(
      /\n {2}API_KEY_ENCRYPTION_KEY: /,
    );
  });
});
