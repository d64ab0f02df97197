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

  it('takes web addresses without a slash at the end', () => {
    const url = 'https://pool.example.com:8443/under/here';
    expect(parseEnv({ PUBLIC_URL: `${url}//` }).publicUrl).toBe(url);
    expect(parseEnv({ S3_ENDPOINT: 'http://127.0.0.1:9000' }).s3Endpoint).toBe(
      'http://127.0.0.1:9000',
    );
    expect(parseEnv({ PUBLIC_URL: 'http://[::1]:8000/' }).publicUrl).toBe('http://[::1]:8000');
    for (const wrong of [
      'pool.example.com',
      'ftp://pool.example.com',
      'https://',
      'https://me:secret@pool.example.com',
      'https://pool.example.com/?a',
      'https://pool.example.com/#a',
      'https://pool.example.com/a)b',
      'https://pool.example.com/a b',
    ]) {
      expect(() => parseEnv({ PUBLIC_URL: wrong }), wrong).toThrow('PUBLIC_URL: must begin');
      expect(() => parseEnv({ CFBED_UPLOAD_URL: wrong }), wrong).toThrow('CFBED_UPLOAD_URL: must');
    }
  });

  it('takes lists of addresses', () => {
    const { trustedProxies, allowances } = parseEnv({
      TRUST_PROXY: '10.0.0.0/8, ::1',
      ALLOW_PRIVATE_URLS: 'minio:9000',
    });
    expect(trustedProxies.has('::ffff:10.1.2.3')).toBe(true);
    expect(trustedProxies.has('11.1.2.3')).toBe(false);
    expect(allowances.allows('minio', 9000, '10.0.0.1')).toBe(true);
    const none = parseEnv({});
    expect(none.trustedProxies.has('127.0.0.1')).toBe(false);
    expect(none.allowances.allows('localhost', 80, '127.0.0.1')).toBe(false);
    expect(() => parseEnv({ TRUST_PROXY: '10.0.0.0/8,proxy' })).toThrow(
      'TRUST_PROXY: "proxy" is no IP address',
    );
    expect(() => parseEnv({ ALLOW_PRIVATE_URLS: 'http://minio' })).toThrow(
      'ALLOW_PRIVATE_URLS: "http://minio" is no host',
    );
  });

  it('takes the stores of media', () => {
    expect(
      parseEnv({
        CFBED_UPLOAD_URL: 'https://img.example.com/upload',
        CFBED_TOKEN: 'token',
        CFBED_PUBLIC_URL: 'https://cdn.example.com/',
        S3_REGION: 'eu-west-1',
        S3_BUCKET: 'media',
        S3_ACCESS_KEY_ID: 'id',
        S3_SECRET_ACCESS_KEY: 'key',
        S3_PREFIX: 'pool',
      }),
    ).toMatchObject({
      cfbedUrl: 'https://img.example.com/upload',
      cfbedToken: 'token',
      cfbedPublicUrl: 'https://cdn.example.com',
      s3Endpoint: null,
      s3Region: 'eu-west-1',
      s3Bucket: 'media',
      s3AccessKeyId: 'id',
      s3SecretAccessKey: 'key',
      s3Prefix: 'pool',
    });
    expect(parseEnv({})).toMatchObject({ cfbedUrl: null, s3Bucket: null, publicUrl: null });
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
