import { z } from 'zod';
import { parseAddressList, parseAllowances } from '@/platform/address-rules';
import { isLoopbackHost } from '@/platform/loopback';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';
import { isWebUrl, WEB_URL_RULE } from '@/platform/web-url';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

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

const webUrl = z
  .string()
  .refine(isWebUrl, WEB_URL_RULE)
  .transform((text) => text.replace(/\/+$/, ''));
const allowances = listOf(parseAllowances);
const addressList = listOf(parseAddressList);

/** @param parse throws an Error whose message tells what is wrong */
function listOf<T>(parse: (text: string) => T) {
  return z
    .string()
    .default('')
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue((error as Error).message);
        return z.NEVER;
      }
    });
}

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
      'Opens `/metrics`, also from other machines, and `/api/cfbed/test` to `Authorization: Bearer`; never valid on `/v1`.',
    meaningZh:
      '用 `Authorization: Bearer` 携带它即可访问 `/metrics`（其他机器也可以）和 `/api/cfbed/test`；对 `/v1` 无效。',
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
    name: 'PUBLIC_URL',
    schema: webUrl.optional(),
    default: '',
    meaning:
      'Base of the links to images and videos, such as `https://pool.example.com`. Without it, the address that the request came to.',
    meaningZh:
      '图片和视频链接的基地址，例如 `https://pool.example.com`。未设置时取请求所用的地址。',
  },
  {
    name: 'TRUST_PROXY',
    schema: addressList,
    default: '',
    meaning:
      'Comma list of the addresses and CIDR ranges of reverse proxies whose `X-Forwarded-*` headers are believed.',
    meaningZh: '受信任的反向代理，地址或 CIDR，以逗号分隔；只采信它们的 `X-Forwarded-*` 请求头。',
  },
  {
    name: 'ALLOW_PRIVATE_URLS',
    schema: allowances,
    default: '',
    meaning:
      'Comma list of what URLs of others, cfbed and S3 may reach in the private network: `host`, `host:port`, addresses or CIDR ranges. Public addresses need no entry.',
    meaningZh:
      '允许外部给出的网址以及 cfbed、S3 访问的内网目标：`host`、`host:port`、地址或 CIDR，以逗号分隔。公网地址无需列出。',
  },
  {
    name: 'CFBED_UPLOAD_URL',
    schema: webUrl.optional(),
    default: '',
    meaning:
      'Upload address of a CloudFlare-ImgBed, such as `https://img.example.com/upload`; the setting comes first, here and below.',
    meaningZh:
      'CloudFlare-ImgBed 的上传地址，例如 `https://img.example.com/upload`；本项及以下各项均以设置优先。',
  },
  {
    name: 'CFBED_TOKEN',
    schema: z.string().optional(),
    default: '',
    meaning: 'Upload token of the CloudFlare-ImgBed.',
    meaningZh: 'CloudFlare-ImgBed 的上传令牌。',
  },
  {
    name: 'CFBED_PUBLIC_URL',
    schema: webUrl.optional(),
    default: '',
    meaning:
      'Base of the public links of the CloudFlare-ImgBed; by default the upload address without `/upload`.',
    meaningZh: 'CloudFlare-ImgBed 公开链接的基地址；默认是去掉 `/upload` 的上传地址。',
  },
  {
    name: 'S3_ENDPOINT',
    schema: webUrl.optional(),
    default: '',
    meaning: 'Address of an S3-compatible store; by default that of AWS for the region.',
    meaningZh: 'S3 兼容存储的地址；默认是该区域的 AWS 地址。',
  },
  {
    name: 'S3_REGION',
    schema: z.string().optional(),
    default: '',
    meaning: 'Region of the S3-compatible store; by default `us-east-1`.',
    meaningZh: 'S3 区域；默认 `us-east-1`。',
  },
  {
    name: 'S3_BUCKET',
    schema: z.string().optional(),
    default: '',
    meaning: 'S3 bucket; generated images and videos are stored there, too, as soon as it is set.',
    meaningZh: 'S3 存储桶；设置后，生成的图片和视频也会存入其中。',
  },
  {
    name: 'S3_ACCESS_KEY_ID',
    schema: z.string().optional(),
    default: '',
    meaning: 'Access key of the S3 bucket.',
    meaningZh: 'S3 访问密钥 ID。',
  },
  {
    name: 'S3_SECRET_ACCESS_KEY',
    schema: z.string().optional(),
    default: '',
    meaning: 'Secret key of the S3 bucket.',
    meaningZh: 'S3 访问密钥。',
  },
  {
    name: 'S3_PREFIX',
    schema: z.string().optional(),
    default: '',
    meaning: 'What the names of the objects in the S3 bucket begin with.',
    meaningZh: 'S3 对象名称的前缀。',
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
