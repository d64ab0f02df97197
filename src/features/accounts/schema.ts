import { z } from 'zod';

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
