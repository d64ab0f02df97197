/**
 * `npm run docs`: writes .env.example and the tables of docs/configuration.md and its Chinese sister
 * from the lists in the code, so that they cannot tell something else.
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { Settings } from '@/features/settings/schema';
import { variables } from '@/platform/env-variables';

const root = path.resolve(import.meta.dirname, '..');
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const KIB = 1_024;
const MIB = 1_048_576;
const GIB = 1_073_741_824;

type Language = 'en' | 'zh';

/** What each setting is for. The schema has the rest. */
const meanings: Record<keyof Settings, Record<Language, string>> = {
  proxyUrl: {
    en: 'Proxy for calls to the upstream, of accounts that have none of their own. Encrypted at rest.',
    zh: '访问上游时使用的代理，账号可单独设置。加密存储。',
  },
  timeZone: {
    en: 'IANA time zone that the upstream is told.',
    zh: '告知上游的时区（IANA 名称）。',
  },
  connectTimeoutMs: {
    en: 'To connect to the upstream; proxy, tunnel and TLS together.',
    zh: '与上游建立连接，含代理、隧道与 TLS。',
  },
  keyTimeoutMs: {
    en: 'To fetch a signing key, all redirects of a cookie rotation together.',
    zh: '获取签名密钥，含轮换 Cookie 时的全部跳转。',
  },
  sessionTimeoutMs: { en: 'To open an upstream session.', zh: '创建上游会话。' },
  firstContentTimeoutMs: {
    en: 'From the question to the first thought or text.',
    zh: '从提问到收到第一段思考或正文。',
  },
  mediaFirstContentTimeoutMs: {
    en: 'The same for images and videos.',
    zh: '同上，用于图片和视频。',
  },
  mediaIdleTimeoutMs: { en: 'The same for images and videos.', zh: '同上，用于图片和视频。' },
  mediaCommitTimeoutMs: { en: 'The same for images and videos.', zh: '同上，用于图片和视频。' },
  idleTimeoutMs: { en: 'Between two pieces of an answer.', zh: '同一个回答里相邻两段之间。' },
  commitTimeoutMs: {
    en: 'For all tries of one request, until its first content goes to the caller.',
    zh: '一个请求的所有尝试合计，直到第一段内容发给调用方。',
  },
  maxTries: {
    en: 'Accounts that one request may be tried on.',
    zh: '一个请求最多可尝试的账号数。',
  },
  continuationLimit: {
    en: 'Answered conversations whose upstream session may be continued, so that only what is new is sent. 0: none.',
    zh: '可续用上游会话的对话数量上限；续用时只发送新增内容。0 表示不续用。',
  },
  continuationMaxAgeMs: {
    en: 'An upstream session older than this is not continued.',
    zh: '上游会话超过此时长后不再续用。',
  },
  continuationMaxTurns: {
    en: 'Questions after which an upstream session is not continued.',
    zh: '上游会话回答这么多次提问后不再续用。',
  },
  promptTooLong: {
    en: 'A conversation longer than the upstream takes: `refuse` it with `context_length_exceeded`, `drop_oldest`: leave out its oldest turns and tell the model so, or `attach`: send it as a text file, with the last turn beside it.',
    zh: '对话超出上游长度时：`refuse` 返回 `context_length_exceeded`；`drop_oldest` 省略最早的若干轮，并告知模型；`attach` 把整段对话作为文本文件上传，并另附最后一轮。',
  },
  sessionStockPerAccount: {
    en: 'Upstream sessions that each account in use has ready, so that a new conversation waits for one upstream call and not for two. 0: none.',
    zh: '每个活跃账号预先创建的上游会话数，使新对话只需等待一次上游调用。0 表示不预建。',
  },
  sessionStockMaxAgeMs: {
    en: 'A session made ahead that is older than this is thrown away.',
    zh: '预建会话超过此时长仍未使用即丢弃。',
  },
  thoughtsHoldMs: {
    en: 'Thoughts wait so long for the first answer text before they are sent.',
    zh: '思考内容等待正文的最长时间，超过后先行发出。',
  },
  earlyHeadersAfterMs: {
    en: "A stream's headers go out after this silence, even without content.",
    zh: '流式请求静默这么久后，即使还没有内容也先发出响应头。',
  },
  commentEveryMs: {
    en: 'A silent stream gets a comment line this often, so that proxies keep it open.',
    zh: '流静默时发送注释行的间隔，防止代理断开连接。',
  },
  selectionStrategy: {
    en: 'How the pool chooses among the accounts that may serve: `round_robin`, `least_in_flight`, `weighted_random`, or `fill_first`: one until it is full.',
    zh: '在可用账号中如何选择：`round_robin` 轮流、`least_in_flight` 最空闲、`weighted_random` 按权重随机、`fill_first` 先用满一个。',
  },
  maxConcurrentPerAccount: {
    en: 'Requests that an account serves at the same time. An account may have its own.',
    zh: '每个账号同时处理的请求数。账号可单独设置。',
  },
  queueWaitMs: {
    en: 'A request waits so long, all its tries together, when all accounts are busy or rest for a moment.',
    zh: '所有账号繁忙或短暂冷却时，一个请求的所有尝试合计最多等待这么久。',
  },
  queueLimit: {
    en: 'Requests that wait at the same time; beyond it, the newest of the caller with the most is refused.',
    zh: '同时等待的请求数上限；超过时，拒绝占用最多的调用方的最新请求。',
  },
  textDailyLimit: {
    en: 'Questions a day that each account has, till midnight Pacific time. An account may have its own.',
    zh: '每个账号每天的提问次数，按太平洋时间午夜重置。账号可单独设置。',
  },
  imagesDailyLimit: { en: 'Images a day, likewise.', zh: '每天的图片数量，同上。' },
  videosDailyLimit: { en: 'Videos a day, likewise.', zh: '每天的视频数量，同上。' },
  overloadRestMs: {
    en: 'Rest of an account after an overloaded upstream; doubles.',
    zh: '上游过载后账号的冷却时间；逐次加倍。',
  },
  overloadRestMaxMs: { en: 'The longest such rest.', zh: '上述冷却的上限。' },
  faultRestMs: {
    en: 'Rest after a failed connection, a 5xx or a broken answer; doubles.',
    zh: '连接失败、5xx 或回答中断后的冷却时间；逐次加倍。',
  },
  faultRestMaxMs: { en: 'The longest such rest.', zh: '上述冷却的上限。' },
  quotaRestMs: {
    en: 'Rest after a 429 that names no time; doubles.',
    zh: '收到未注明时间的 429 后的冷却时间；逐次加倍。',
  },
  quotaRestMaxMs: { en: 'The longest such rest.', zh: '上述冷却的上限。' },
  probeEveryMs: {
    en: 'How often an account that needs a human is tried once more.',
    zh: '对需要人工处理的账号，每隔多久再试一次。',
  },
  maxBodyBytes: {
    en: 'Largest JSON body under `/v1`, unpacked.',
    zh: '`/v1` 下 JSON 请求体的最大尺寸（解压后）。',
  },
  maxFileBytes: {
    en: 'Largest file that `/v1/files` takes.',
    zh: '`/v1/files` 单个文件的最大尺寸。',
  },
  maxFilesBytes: {
    en: 'All files of `/v1/files` together.',
    zh: '`/v1/files` 全部文件的总大小上限。',
  },
  maxRemoteFileBytes: {
    en: 'Largest file that a message may name by its URL.',
    zh: '消息中以网址引用的文件的最大尺寸。',
  },
  remoteFileTimeoutMs: { en: 'To fetch such a file.', zh: '获取这类文件的时限。' },
  uploadTimeoutMs: {
    en: 'To give one file to the upstream.',
    zh: '向上游上传一个文件的时限。',
  },
  downloadIdleTimeoutMs: {
    en: 'Silence within the download of a generated image or video.',
    zh: '下载生成的图片或视频时，两段数据之间的最长间隔。',
  },
  downloadTimeoutMs: { en: 'The whole of such a download.', zh: '整个下载的时限。' },
  imageRetentionHours: {
    en: 'Hours that generated images are kept; `none`: for ever.',
    zh: '生成的图片保留的小时数；`none` 表示一直保留。',
  },
  videoRetentionHours: { en: 'The same for videos.', zh: '同上，用于视频。' },
  maxMediaBytes: {
    en: 'All generated media on the disk together; the least recently used go first.',
    zh: '磁盘上生成的媒体文件的总大小上限；超出时先删最久未使用的。',
  },
  publicUrl: {
    en: 'Base of the links to media. None: `PUBLIC_URL`, else as the request came in.',
    zh: '媒体链接的基地址。未设置时取 `PUBLIC_URL`，再取请求自身的地址。',
  },
  cfbedUrl: {
    en: 'Upload address of a CloudFlare-ImgBed, such as `https://img.example.com/upload`. None, here and below: as its variable says, where there is one.',
    zh: 'CloudFlare-ImgBed 的上传地址，例如 `https://img.example.com/upload`。本项及以下各项未设置时，取对应的环境变量（如有）。',
  },
  cfbedToken: { en: 'Its upload token. Encrypted at rest.', zh: '其上传令牌。加密存储。' },
  cfbedPublicUrl: {
    en: 'Base of its public links. None: the upload address without `/upload`.',
    zh: '其公开链接的基地址。未设置时取去掉 `/upload` 的上传地址。',
  },
  cfbedChannel: {
    en: 'Where it stores: `telegram`, `cfr2` or `s3`.',
    zh: '其存储渠道：`telegram`、`cfr2` 或 `s3`。',
  },
  cfbedFolder: { en: 'Its folder.', zh: '其存储目录。' },
  cfbedTimeoutMs: { en: 'To upload one file there.', zh: '上传一个文件的时限。' },
  s3Endpoint: {
    en: 'Address of an S3-compatible store; none: that of AWS for the region.',
    zh: 'S3 兼容存储的地址；未设置时为该区域的 AWS 地址。',
  },
  s3Region: { en: 'Its region; none: `us-east-1`.', zh: '区域；未设置时为 `us-east-1`。' },
  s3Bucket: {
    en: 'Its bucket. Generated media are stored there, too, as soon as one is named.',
    zh: '存储桶。设置后，生成的媒体文件也会存入其中。',
  },
  s3AccessKeyId: { en: 'Its access key.', zh: '访问密钥 ID。' },
  s3SecretAccessKey: { en: 'Its secret key. Encrypted at rest.', zh: '访问密钥。加密存储。' },
  s3Prefix: { en: 'What the names of the objects begin with.', zh: '对象名称的前缀。' },
  s3TimeoutMs: {
    en: 'Silence within a transfer to or from it.',
    zh: '与其传输数据时的最长静默时间。',
  },
  logRetentionDays: { en: 'Days that request logs are kept.', zh: '请求日志保留的天数。' },
  usageRetentionDays: {
    en: 'Days that the daily sums of requests, tokens and cost are kept.',
    zh: '每日用量汇总（请求数、token、费用）保留的天数。',
  },
};

const words = {
  en: {
    none: 'none',
    to: ' to ',
    variableHeads: ['Variable', 'Default', 'Meaning'],
    settingHeads: ['Setting', 'Default', 'Range', 'Meaning'],
  },
  zh: {
    none: '无',
    to: ' 至 ',
    variableHeads: ['变量', '默认值', '说明'],
    settingHeads: ['设置项', '默认值', '范围', '说明'],
  },
};

/** Defaults of the list that are prose and no value. */
const proseDefaultsZh: Record<string, string> = {
  ENCRYPTION_KEY: '首次启动时生成，保存在数据目录的 encryption.key 中',
};

/** A file of the project as it should be now. */
interface Document {
  /** Relative to the project's folder. */
  file: string;
  text: string;
}

/**
 * All files that follow from the code, as they should be.
 * @throws Error if a document lacks the marks between which a table stands
 */
export function upToDateDocuments(): Document[] {
  return [
    { file: '.env.example', text: envExample() },
    configuration('docs/configuration.md', 'en'),
    configuration('docs/configuration.zh.md', 'zh'),
  ];
}

/** The text that a file of the project has now; empty if it is not there. */
export function currentText(file: string): string {
  const place = path.join(root, file);
  return fs.existsSync(place) ? fs.readFileSync(place, 'utf8') : '';
}

function envExample(): string {
  const entries = variables.map(({ name, default: usual, meaning }) =>
    isProse(usual)
      ? `# ${meaning}\n# Default: ${usual}.\n#${name}=\n`
      : `# ${meaning}\n#${name}=${usual}\n`,
  );
  return [
    '# Copy this file to .env in the same folder, take the # away from a line, and change its value.\n' +
      '# The values here are the defaults. Written by `npm run docs`; see docs/configuration.md.\n',
    ...entries,
  ].join('\n');
}

function configuration(file: string, language: Language): Document {
  const withVariables = replaceSection(currentText(file), 'variables', variableTable(language));
  return { file, text: replaceSection(withVariables, 'settings', settingTable(language)) };
}

function variableTable(language: Language): string {
  const { none, variableHeads } = words[language];
  return table(
    variableHeads,
    variables.map(({ name, default: usual, meaning, meaningZh }) => {
      const prose = language === 'zh' ? (proseDefaultsZh[name] ?? usual) : usual;
      const shown = usual === '' ? none : isProse(usual) ? prose : `\`${usual}\``;
      return [`\`${name}\``, shown, language === 'zh' ? meaningZh : meaning];
    }),
  );
}

interface Property {
  default?: unknown;
  minimum?: number;
  maximum?: number;
}

function settingTable(language: Language): string {
  const properties = z.toJSONSchema(Settings).properties as Record<keyof Settings, Property>;
  const { none, to, settingHeads } = words[language];
  return table(
    settingHeads,
    (Object.keys(Settings.shape) as (keyof Settings)[]).map((name) => {
      const { default: usual, minimum, maximum } = properties[name];
      const range =
        minimum === undefined || maximum === undefined
          ? ''
          : `${quantity(name, minimum)}${to}${quantity(name, maximum)}`;
      const inUnits = typeof usual === 'number' ? quantity(name, usual) : String(usual);
      const shown = usual === null ? none : `\`${usual}\``;
      const explained = inUnits === String(usual) ? shown : `${shown} (${inUnits})`;
      return [`\`${name}\``, explained, range, meanings[name][language]];
    }),
  );
}

/** A value in the largest unit that it is a whole number of; the name tells its own unit. */
function quantity(name: string, value: number): string {
  const units: [size: number, unit: string][] = name.endsWith('Ms')
    ? [
        [HOUR_MS, 'h'],
        [MINUTE_MS, 'min'],
        [SECOND_MS, 's'],
      ]
    : name.endsWith('Bytes')
      ? [
          [GIB, 'GiB'],
          [MIB, 'MiB'],
          [KIB, 'KiB'],
        ]
      : [];
  const fitting = units.find(([size]) => value > 0 && value % size === 0);
  return fitting ? `${value / fitting[0]} ${fitting[1]}` : String(value);
}

function isProse(usual: string): boolean {
  return usual.includes(' ');
}

function table(heads: string[], rows: string[][]): string {
  return [heads, heads.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

function replaceSection(text: string, section: string, content: string): string {
  const begin = `<!-- ${section}:begin -->`;
  const end = `<!-- ${section}:end -->`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`The document lacks the marks of "${section}"`);
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { file, text } of upToDateDocuments()) {
    const isChanged = currentText(file) !== text;
    if (isChanged) fs.writeFileSync(path.join(root, file), text);
    console.log(`${file} ${isChanged ? 'written' : 'is up to date'}`);
  }
}
