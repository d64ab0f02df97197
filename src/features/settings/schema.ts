import { z } from 'zod';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MIB = 1_048_576;

const milliseconds = (usual: number) =>
  z
    .number()
    .int()
    .min(0)
    .max(24 * HOUR)
    .default(usual);

/**
 * All settings with their defaults (design 9). The names are those of the rows. Times are in
 * milliseconds, sizes in bytes.
 */
export const Settings = z.object({
  /** http, https or socks5 with credentials; null: direct. Encrypted at rest. */
  proxyUrl: z.string().refine(isProxyUrl, PROXY_URL_RULE).nullable().default(null),
  /** IANA name, told to the upstream. */
  timeZone: z.string().default('Etc/UTC'),

  connectTimeoutMs: milliseconds(5 * SECOND),
  keyTimeoutMs: milliseconds(15 * SECOND),
  sessionTimeoutMs: milliseconds(30 * SECOND),
  /** From the question to the first thought or text. */
  firstContentTimeoutMs: milliseconds(MINUTE),
  /** Between two pieces of an answer. */
  idleTimeoutMs: milliseconds(MINUTE),
  /** For all tries of one request, until the first content was sent to the caller. */
  commitTimeoutMs: milliseconds(3 * MINUTE),
  maxTries: z.number().int().min(1).max(100).default(10),

  /** How long thoughts wait for the first answer text before they are sent, which commits. */
  thoughtsHoldMs: milliseconds(3 * SECOND),
  /** A stream's headers go out after this silence, so that proxies do not give up. */
  earlyHeadersAfterMs: milliseconds(10 * SECOND),
  commentEveryMs: milliseconds(10 * SECOND),

  overloadRestMs: milliseconds(10 * SECOND),
  overloadRestMaxMs: milliseconds(5 * MINUTE),
  /** After a failed connection, a 5xx or a broken answer. */
  faultRestMs: milliseconds(5 * SECOND),
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
  logRetentionDays: z.number().int().min(1).max(3_650).default(30),
});

export type Settings = z.infer<typeof Settings>;

/** The settings whose value is a secret, and so is encrypted at rest. */
export const secretSettings: ReadonlySet<keyof Settings> = new Set(['proxyUrl']);
