import { z } from 'zod';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';
import { isWebUrl, WEB_URL_RULE } from '@/platform/web-url';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MIB = 1_048_576;
const GIB = 1_024 * MIB;

const milliseconds = (usual: number, least = 0) =>
  z
    .number()
    .int()
    .min(least)
    .max(24 * HOUR)
    .default(usual);

/** A limit of no time at all would fail every request. */
const limit = (usual: number) => milliseconds(usual, 10);

/** How the pool chooses among the accounts that may serve. */
export const SelectionStrategy = z.enum([
  'round_robin',
  'least_in_flight',
  'weighted_random',
  'fill_first',
]);

export type SelectionStrategy = z.infer<typeof SelectionStrategy>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }) !== null;
  } catch {
    return false;
  }
}

/** A conversation that is too long is refused, goes without its oldest turns, or goes up as a file. */
const PromptTooLong = z.enum(['refuse', 'drop_oldest', 'attach']);

const bytes = (usual: number, most: number) => z.number().int().min(1_024).max(most).default(usual);

const webUrl = () =>
  z
    .string()
    .max(2_048)
    .refine(isWebUrl, WEB_URL_RULE)
    .overwrite((url) => url.replace(/\/+$/, ''))
    .nullable()
    .default(null);

const word = (most = 500) => z.string().min(1).max(most).nullable().default(null);

/** Null: for ever. */
const retentionHours = () => z.number().int().min(1).max(87_600).nullable().default(168);

const dailyLimit = () => z.number().int().min(0).max(1_000_000).nullable().default(null);

/**
 * All settings with their defaults (design 9). The names are those of the rows. Times are in
 * milliseconds, sizes in bytes.
 */
export const Settings = z.object({
  /** http, https or socks5 with credentials; null: direct. Encrypted at rest. */
  proxyUrl: z.string().refine(isProxyUrl, PROXY_URL_RULE).nullable().default(null),
  /** IANA name, told to the upstream. */
  timeZone: z.string().refine(isTimeZone, 'must be an IANA name').default('Etc/UTC'),

  connectTimeoutMs: limit(5 * SECOND),
  keyTimeoutMs: limit(15 * SECOND),
  sessionTimeoutMs: limit(30 * SECOND),
  /** From the question to the first thought or text. */
  firstContentTimeoutMs: limit(MINUTE),
  /** The same for images and videos, which are silent for minutes. */
  mediaFirstContentTimeoutMs: limit(10 * MINUTE),
  /** Between two pieces of an answer. */
  idleTimeoutMs: limit(MINUTE),
  mediaIdleTimeoutMs: limit(10 * MINUTE),
  /** For all tries of one request, until the first content was sent to the caller. */
  commitTimeoutMs: limit(3 * MINUTE),
  mediaCommitTimeoutMs: limit(15 * MINUTE),
  maxTries: z.number().int().min(1).max(100).default(10),

  /** Answered conversations whose upstream session may be continued; 0: none. */
  continuationLimit: z.number().int().min(0).max(500_000).default(100_000),
  /** An older session is not continued. */
  continuationMaxAgeMs: milliseconds(50 * MINUTE),
  /** A session that was asked so often is not continued. */
  continuationMaxTurns: z.number().int().min(1).max(1_000).default(20),
  /** What becomes of a conversation that is longer than the upstream takes. */
  promptTooLong: PromptTooLong.default('refuse'),
  /** Upstream sessions that each account in use has ready for new conversations; 0: none. */
  sessionStockPerAccount: z.number().int().min(0).max(10).default(1),
  /** An older one is thrown away unused. */
  sessionStockMaxAgeMs: milliseconds(10 * MINUTE, MINUTE),

  /** How long thoughts wait for the first answer text before they are sent, which commits. */
  thoughtsHoldMs: milliseconds(3 * SECOND),
  /** A stream's headers go out after this silence, so that proxies do not give up. */
  earlyHeadersAfterMs: milliseconds(10 * SECOND),
  commentEveryMs: limit(10 * SECOND),

  selectionStrategy: SelectionStrategy.default('round_robin'),
  /** Requests that an account serves at the same time; null: no limit. An account may have its own. */
  maxConcurrentPerAccount: z.number().int().min(1).max(1_000).nullable().default(null),
  /** How long a request waits for an account when all are busy or rest for a moment. */
  queueWaitMs: milliseconds(5 * SECOND),
  /** Requests that wait at the same time; further ones are refused at once. */
  queueLimit: z.number().int().min(0).max(10_000).default(256),
  /** Uses a day that each account has; null: not known. An account may have its own. */
  textDailyLimit: dailyLimit(),
  imagesDailyLimit: dailyLimit(),
  videosDailyLimit: dailyLimit(),

  overloadRestMs: milliseconds(10 * SECOND),
  overloadRestMaxMs: milliseconds(5 * MINUTE),
  /** After a failed connection, a 5xx or a broken answer; doubles. */
  faultRestMs: milliseconds(5 * SECOND),
  faultRestMaxMs: milliseconds(5 * MINUTE),
  /** After a 429 without a reason; doubles. */
  quotaRestMs: milliseconds(MINUTE),
  quotaRestMaxMs: milliseconds(HOUR),
  /** How often an account that needs a human is tried once more. */
  probeEveryMs: milliseconds(15 * MINUTE),

  /** JSON bodies of /v1; takes a picture of 20 MB as a data URL. */
  maxBodyBytes: z
    .number()
    .int()
    .min(1_024)
    .max(64 * MIB)
    .default(32 * MIB),

  /** One file sent to /v1/files. */
  maxFileBytes: bytes(100 * MIB, 512 * MIB),
  /** All of them together. */
  maxFilesBytes: bytes(20 * GIB, 1_024 * GIB),
  /** A file that a message names by its URL. */
  maxRemoteFileBytes: bytes(32 * MIB, 512 * MIB),
  remoteFileTimeoutMs: limit(30 * SECOND),
  /** To give one file to the upstream. */
  uploadTimeoutMs: limit(2 * MINUTE),
  /** Silence within the download of a generated file, and all of it. */
  downloadIdleTimeoutMs: limit(MINUTE),
  downloadTimeoutMs: limit(15 * MINUTE),
  imageRetentionHours: retentionHours(),
  videoRetentionHours: retentionHours(),
  /** All generated media together; the least recently used go first. */
  maxMediaBytes: bytes(20 * GIB, 1_024 * GIB),
  /** Base of the links to media; null: PUBLIC_URL, else as the request came in. */
  publicUrl: webUrl(),
  /** Null, here and for S3: as the environment says. */
  cfbedUrl: webUrl(),
  cfbedToken: word(),
  cfbedPublicUrl: webUrl(),
  cfbedChannel: z.enum(['telegram', 'cfr2', 's3']).default('telegram'),
  cfbedFolder: word(),
  cfbedTimeoutMs: limit(5 * MINUTE),
  s3Endpoint: webUrl(),
  s3Region: word(),
  s3Bucket: word(),
  s3AccessKeyId: word(),
  s3SecretAccessKey: word(),
  s3Prefix: word(),
  s3TimeoutMs: limit(MINUTE),

  logRetentionDays: z.number().int().min(1).max(3_650).default(30),
  /** Daily sums outlive the logs that they are made of. */
  usageRetentionDays: z.number().int().min(1).max(3_650).default(400),
});

export type Settings = z.infer<typeof Settings>;

/** The settings whose value is a secret, and so is encrypted at rest. */
export const secretSettings: ReadonlySet<keyof Settings> = new Set([
  'proxyUrl',
  'cfbedToken',
  's3SecretAccessKey',
]);
