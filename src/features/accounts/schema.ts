import { z } from 'zod';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';

/** What an account needs to serve, and what the operator may say of it. */
export const AccountInput = z.object({
  label: z.string().trim().min(1).max(200).nullable().default(null),
  csesidx: z.string().regex(/^\d{1,40}$/, 'must be the digits after csesidx= in the address'),
  configId: z.string().trim().min(1, 'is missing').max(100),
  secureCSes: z.string().trim().min(1, 'is missing').max(8_192),
  hostCOses: z.string().trim().min(1).max(8_192).nullable().default(null),
  userAgent: z.string().trim().min(1).max(1_000).nullable().default(null),
  mailboxName: z.string().trim().max(320).nullable().default(null),
  mailboxUrl: z.string().trim().max(8_192).nullable().default(null),
  enabled: z.boolean().default(true),
});

export type AccountInput = z.infer<typeof AccountInput>;

/** Instead of a URL: the account takes no proxy, whatever the settings say. */
export const DIRECT = 'direct';

const label = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}\p{Cf}]+$/u, 'must hold no control characters');

const dailyLimit = z.number().int().min(0).max(1_000_000).nullable();

/** What the operator may change of an account; null: as the settings say. */
export const AccountOptions = z
  .object({
    label,
    /** Its share of the work, against that of the others. */
    weight: z.number().int().min(1).max(1_000),
    /** Requests at the same time. */
    maxConcurrent: z.number().int().min(1).max(1_000).nullable(),
    /** A URL, or `DIRECT`. */
    proxyUrl: z
      .string()
      .refine((value) => value === DIRECT || isProxyUrl(value), `${PROXY_URL_RULE}, or ${DIRECT}`)
      .nullable(),
    textLimit: dailyLimit,
    imagesLimit: dailyLimit,
    videosLimit: dailyLimit,
  })
  .partial();

export type AccountOptions = z.infer<typeof AccountOptions>;
