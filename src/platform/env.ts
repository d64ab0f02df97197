import path from 'node:path';
import { z } from 'zod';
import { AppError } from '@/platform/errors';
import { isLoopbackHost } from '@/platform/loopback';
import { processState } from '@/platform/process-state';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const port = z.coerce.number().int().min(0).max(65535);
const flag = z
  .enum(['1', 'true', '0', 'false'])
  .transform((word) => word === '1' || word === 'true');
const upstreamUrl = z
  .string()
  .refine((text) => {
    if (!URL.canParse(text)) return false;
    const { protocol, hostname } = new URL(text);
    return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname));
  }, 'must begin with https:// (http:// only for a loopback address)')
  .transform((text) => text.replace(/\/+$/, ''));
const proxyUrl = z.string().refine(isProxyUrl, PROXY_URL_RULE);
const fileUrl = z
  .string()
  .startsWith('file:', 'must begin with file: (SQLite is the only database yet)');

interface Variable {
  name: string;
  schema: z.ZodType;
  /** As the docs show it; what counts is in `schema`, or in `toEnv` where it follows from others. */
  default: string;
  meaning: string;
  meaningZh: string;
}

/** Every variable that the server reads. `.env.example` and the docs are generated from this list. */
export const variables = [
  {
    name: 'HOST',
    schema: z.string().default('0.0.0.0'),
    default: '0.0.0.0',
    meaning: 'Address to listen on; also `--host`.',
    meaningZh: '监听地址；也可用 `--host`。',
  },
  {
    name: 'PORT',
    schema: port.default(8000),
    default: '8000',
    meaning:
      'Port to listen on, 0 for any free one; also `--port`. `SERVER_PORT` is the older name.',
    meaningZh: '监听端口，0 表示任意空闲端口；也可用 `--port`。旧名 `SERVER_PORT` 仍可用。',
  },
  {
    name: 'DATA_DIR',
    schema: z.string().default('./data'),
    default: './data',
    meaning: 'Folder of the database, the media and the encryption key.',
    meaningZh: '存放数据库、媒体文件和加密密钥的目录。',
  },
  {
    name: 'DATABASE_URL',
    schema: fileUrl.optional(),
    default: 'file:./data/pool.db',
    meaning: 'The SQLite database; by default pool.db in the data folder.',
    meaningZh: 'SQLite 数据库；默认是数据目录里的 pool.db。',
  },
  {
    name: 'ENCRYPTION_KEY',
    schema: z.string().min(16, 'must have 16 characters or more').optional(),
    default: 'made at first start, kept in encryption.key in the data folder',
    meaning:
      'Key of the secrets at rest: 64 hex or 44 base64 characters are the key itself, any other string of 16 or more is stretched with scrypt. `API_KEY_ENCRYPTION_KEY` is the older name.',
    meaningZh:
      '落盘数据的加密密钥：64 个十六进制或 44 个 base64 字符即为密钥本身，其他 16 个字符以上的字符串经 scrypt 派生。旧名 `API_KEY_ENCRYPTION_KEY` 仍可用。',
  },
  {
    name: 'ADMIN_SECRET_KEY',
    schema: z
      .string()
      .regex(/^\S{16,}$/, 'must have 16 characters or more, none of them a blank')
      .optional(),
    default: '',
    meaning:
      'Opens `/metrics` to `Authorization: Bearer`, also from other machines; never valid on `/v1`.',
    meaningZh:
      '用 `Authorization: Bearer` 携带它即可访问 `/metrics`，其他机器也可以；对 `/v1` 无效。',
  },
  {
    name: 'GEMINI_APP_URL',
    schema: upstreamUrl.default('https://business.gemini.google'),
    default: 'https://business.gemini.google',
    meaning: 'Web app and key host of the upstream.',
    meaningZh: '上游的网页应用，签名密钥也由它发放。',
  },
  {
    name: 'GEMINI_AUTH_URL',
    schema: upstreamUrl.default('https://auth.business.gemini.google'),
    default: 'https://auth.business.gemini.google',
    meaning: 'Sign-in host of the upstream.',
    meaningZh: '上游的登录主机。',
  },
  {
    name: 'GEMINI_API_URL',
    schema: upstreamUrl.default('https://biz-discoveryengine.googleapis.com'),
    default: 'https://biz-discoveryengine.googleapis.com',
    meaning: 'Widget API host of the upstream.',
    meaningZh: '上游的 Widget API 主机。',
  },
  {
    name: 'GEMINI_VERIFY_URL',
    schema: upstreamUrl.default('https://accountverification.business.gemini.google'),
    default: 'https://accountverification.business.gemini.google',
    meaning: 'Host of the page where the mailed code is typed.',
    meaningZh: '输入邮件验证码页面的主机。',
  },
  {
    name: 'PROXY_URL',
    schema: proxyUrl.optional(),
    default: '',
    meaning:
      'First value of the proxy setting: http, https or socks5, with credentials if need be.',
    meaningZh: '代理设置的初始值：http、https 或 socks5，可带用户名和密码。',
  },
  {
    name: 'FORCE_HEADLESS',
    schema: flag.optional(),
    default: '',
    meaning: 'Sign-in browser without a window; also `--headless`.',
    meaningZh: '登录浏览器不显示窗口；也可用 `--headless`。',
  },
  {
    name: 'FORCE_HEADED',
    schema: flag.optional(),
    default: '',
    meaning: 'Sign-in browser with a window; also `--headed`.',
    meaningZh: '登录浏览器显示窗口；也可用 `--headed`。',
  },
  {
    name: 'LOG_LEVEL',
    schema: z.enum(LOG_LEVELS).default('info'),
    default: 'info',
    meaning: `One of ${LOG_LEVELS.join(', ')}.`,
    meaningZh: `可选：${LOG_LEVELS.join('、')}。`,
  },
] as const satisfies readonly Variable[];

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
  const dataDir = path.resolve(/*turbopackIgnore: true*/ text('DATA_DIR'));
  const databaseUrl = values.DATABASE_URL as string | undefined;
  return {
    host: text('HOST'),
    port: values.PORT as number,
    dataDir,
    databaseUrl: databaseUrl
      ? `file:${path.resolve(/*turbopackIgnore: true*/ databaseUrl.slice('file:'.length))}`
      : `file:${path.join(dataDir, 'pool.db')}`,
    encryptionKey: (values.ENCRYPTION_KEY as string | undefined) ?? null,
    adminSecretKey: (values.ADMIN_SECRET_KEY as string | undefined) ?? null,
    geminiAppUrl: text('GEMINI_APP_URL'),
    geminiAuthUrl: text('GEMINI_AUTH_URL'),
    geminiApiUrl: text('GEMINI_API_URL'),
    geminiVerifyUrl: text('GEMINI_VERIFY_URL'),
    proxyUrl: (values.PROXY_URL as string | undefined) ?? null,
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
