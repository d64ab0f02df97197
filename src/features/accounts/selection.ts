import type { SelectionStrategy } from '@/features/settings/schema';

/** What the choice among ready accounts goes by. */
export interface Candidate {
  /** The order in which the accounts came. */
  position: number;
  weight: number;
  inFlight: number;
  /** Its place in virtual time: grows by the inverse of its weight with every turn. */
  pass: number;
  /** The share of its daily quota that is left, from 0 to 1. */
  headroom: number;
  /** A request has waited long for its first word there. */
  isSlow: boolean;
}

/** Accounts whose quota nears its end get fewer turns, but never none. */
const LEAST_HEADROOM = 0.1;
/** Ranks after everything else. */
const LAST = 1e9;
const NEARLY_NEVER = 1e-9;

/** The weight that counts: the operator's, less as the quota runs out. */
export function effectiveWeight({ weight, headroom }: Candidate): number {
  return weight * Math.max(LEAST_HEADROOM, headroom);
}

/**
 * The rank of a candidate: the smallest `major` is next, of those the smallest `minor`; for
 * `weighted_random` the chance is `weight`. An account that is expected to refuse, or to keep
 * the request waiting, comes last.
 */
export function rankOf(
  strategy: SelectionStrategy,
  candidate: Candidate,
): { major: number; minor: number; weight: number } {
  const { position, weight, inFlight, pass, headroom, isSlow } = candidate;
  const isLast = headroom === 0 || isSlow;
  const last = isLast ? LAST : 0;
  const chance = isLast ? NEARLY_NEVER : effectiveWeight(candidate);
  switch (strategy) {
    case 'round_robin':
    case 'weighted_random':
      return { major: last, minor: pass, weight: chance };
    case 'least_in_flight':
      return { major: last + inFlight / weight, minor: pass, weight: chance };
    case 'fill_first':
      return { major: last - weight, minor: position, weight: chance };
  }
}
