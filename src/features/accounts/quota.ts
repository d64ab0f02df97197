/** What an account has done of one kind today, and what is known of its daily limit. */
export interface Quota {
  /** In Los Angeles, such as `2026-11-25`: a quota of another day counts as unused. */
  day: string;
  used: number;
  /** How much there was when the upstream last refused for the day. */
  learnedLimit: number | null;
}

const unused: Quota = { day: '', used: 0, learnedLimit: null };

/** Uses of `day`. */
export function usedOn(quota: Quota | undefined, day: string): number {
  return quota?.day === day ? quota.used : 0;
}

/** The quota after `count` more uses. More than the learned limit shows that there is more. */
export function afterUse(quota: Quota = unused, day: string, count: number): Quota {
  const used = usedOn(quota, day) + count;
  const { learnedLimit } = quota;
  return { day, used, learnedLimit: learnedLimit === null ? null : Math.max(learnedLimit, used) };
}

/** The quota after a refusal for the day. One before the first use teaches nothing. */
export function afterRefusal(quota: Quota = unused, day: string): Quota {
  const used = usedOn(quota, day);
  return { day, used, learnedLimit: used > 0 ? used : quota.learnedLimit };
}

/** What is left today by the operator's limit, else by the learned one; null: not known. */
export function leftOn(quota: Quota | undefined, limit: number | null, day: string): number | null {
  const known = limit ?? quota?.learnedLimit ?? null;
  return known === null ? null : Math.max(0, known - usedOn(quota, day));
}
