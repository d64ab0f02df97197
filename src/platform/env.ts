import path from 'node:path';
import type { AddressList, Allowances } from '@/platform/address-rules';
import { type LOG_LEVELS, variables } from '@/platform/env-variables';
import { AppError } from '@/platform/errors';
import { processState } from '@/platform/process-state';

const olderNames: Record<string, string> = {
  PORT: 'SERVER_PORT',
  ENCRYPTION_KEY: 'API_KEY_ENCRYPTION_KEY',
};

export interface Env {
  host: string;
  port: number;
  /** Absolute. */
  dataDir: string;
  /** `file:` with an absolute path. */
  databaseUrl: string;
  encryptionKey: string | null;
  adminSecretKey: string | null;
  geminiAppUrl: string;
  geminiAuthUrl: string;
  geminiApiUrl: string;
  geminiVerifyUrl: string;
  proxyUrl: string | null;
  /** Without a slash at its end, as the other addresses here. */
  publicUrl: string | null;
  trustedProxies: AddressList;
  /** What URLs of others may reach in the private network. */
  allowances: Allowances;
  cfbedUrl: string | null;
  cfbedToken: string | null;
  cfbedPublicUrl: string | null;
  s3Endpoint: string | null;
  s3Region: string | null;
  s3Bucket: string | null;
  s3AccessKeyId: string | null;
  s3SecretAccessKey: string | null;
  s3Prefix: string | null;
  logLevel: (typeof LOG_LEVELS)[number];
}

/**
 * Reads and checks `source`; values are trimmed, and a blank one counts as unset. Relative paths are
 * relative to the working directory.
 * @throws AppError `invalid_request` whose message lists every wrong variable with the mend.
 */
export function parseEnv(source: Record<string, string | undefined>): Env {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const { name, schema, default: usual } of variables) {
    const [givenAs = name, given] = givenValue(source, name);
    const parsed = schema.safeParse(given);
    if (parsed.success) values[name] = parsed.data;
    else {
      const why = parsed.error.issues[0]?.message ?? 'is not valid';
      const mend = usual ? ` Unset it for the default (${usual}).` : ' Unset it to do without.';
      problems.push(`  ${givenAs}: ${why}.${mend}`);
    }
  }
  if (problems.length > 0) {
    throw new AppError('invalid_request', `The environment is not valid:\n${problems.join('\n')}`);
  }
  return toEnv(values);
}

/** The value of a variable with the name that it has in `source`; nothing if it is unset. */
function givenValue(
  source: Record<string, string | undefined>,
  name: string,
): [givenAs?: string, value?: string] {
  for (const givenAs of [name, olderNames[name]]) {
    const value = givenAs && source[givenAs]?.trim();
    if (value) return [givenAs, value];
  }
  return [];
}

function toEnv(values: Record<string, unknown>): Env {
  const text = (name: string) => values[name] as string;
  const textOrNull = (name: string) => (values[name] as string | undefined) ?? null;
  const dataDir = path.resolve(/*turbopackIgnore: true*/ text('DATA_DIR'));
  const databaseUrl = textOrNull('DATABASE_URL');
  return {
    host: text('HOST'),
    port: values.PORT as number,
    dataDir,
    databaseUrl: databaseUrl
      ? `file:${path.resolve(/*turbopackIgnore: true*/ databaseUrl.slice('file:'.length))}`
      : `file:${path.join(dataDir, 'pool.db')}`,
    encryptionKey: textOrNull('ENCRYPTION_KEY'),
    adminSecretKey: textOrNull('ADMIN_SECRET_KEY'),
    geminiAppUrl: text('GEMINI_APP_URL'),
    geminiAuthUrl: text('GEMINI_AUTH_URL'),
    geminiApiUrl: text('GEMINI_API_URL'),
    geminiVerifyUrl: text('GEMINI_VERIFY_URL'),
    proxyUrl: textOrNull('PROXY_URL'),
    publicUrl: textOrNull('PUBLIC_URL'),
    trustedProxies: values.TRUST_PROXY as AddressList,
    allowances: values.ALLOW_PRIVATE_URLS as Allowances,
    cfbedUrl: textOrNull('CFBED_UPLOAD_URL'),
    cfbedToken: textOrNull('CFBED_TOKEN'),
    cfbedPublicUrl: textOrNull('CFBED_PUBLIC_URL'),
    s3Endpoint: textOrNull('S3_ENDPOINT'),
    s3Region: textOrNull('S3_REGION'),
    s3Bucket: textOrNull('S3_BUCKET'),
    s3AccessKeyId: textOrNull('S3_ACCESS_KEY_ID'),
    s3SecretAccessKey: textOrNull('S3_SECRET_ACCESS_KEY'),
    s3Prefix: textOrNull('S3_PREFIX'),
    logLevel: text('LOG_LEVEL') as Env['logLevel'],
  };
}

/** The database's file, absolute. */
export function databaseFile(): string {
  return env().databaseUrl.slice('file:'.length);
}

/**
 * The environment of this process, read once.
 * @throws AppError as `parseEnv`
 */
export function env(): Env {
  return processState('env', () => parseEnv(process.env));
}
