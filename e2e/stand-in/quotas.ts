import { asRecord } from './json-value';

/** What the upstream counts by the day (upstream-protocol 19.1). */
export type QuotaKind = 'text' | 'images' | 'videos';

/** Uses a day; a kind that is left out has no limit. */
export type Quotas = Partial<Record<QuotaKind, number>>;

/** What was used on one day. */
export type Usage = Record<QuotaKind, number>;

const kinds: readonly QuotaKind[] = ['text', 'images', 'videos'];
const nothing: Usage = { text: 0, images: 0, videos: 0 };
const blockMs = 15 * 60_000;

/** The daily quotas of one account, and what it has used. A day ends at midnight in Los Angeles. */
export class DailyQuotas {
  limits: Quotas = {};
  /** The reason that a refusal names; null: it names none. */
  reason: string | null = 'QUOTA_EXCEEDED';
  #day = '';
  #used: Usage = { ...nothing };

  /** What was used on the day of that time. */
  usage(nowMs: number): Usage {
    this.#turnPage(nowMs);
    return { ...this.#used };
  }

  /** Counts one use. Uses past the limit count too: the check comes before the answer. */
  count(kind: QuotaKind, nowMs: number): void {
    this.#turnPage(nowMs);
    this.#used[kind] += 1;
  }

  /** How often a kind may still be used; infinite without a limit. */
  left(kind: QuotaKind, nowMs: number): number {
    this.#turnPage(nowMs);
    return Math.max(0, (this.limits[kind] ?? Number.POSITIVE_INFINITY) - this.#used[kind]);
  }

  /** Takes away every limit, and what was used. */
  clear(): void {
    this.limits = {};
    this.reason = 'QUOTA_EXCEEDED';
    this.#used = { ...nothing };
  }

  #turnPage(nowMs: number): void {
    const day = pacificDay(nowMs);
    if (day === this.#day) return;
    this.#day = day;
    this.#used = { ...nothing };
  }
}

/**
 * The kinds that a question needs: a text always, and a medium if its toolsSpec allows nothing else,
 * with or without the tool registry (upstream-protocol 10.2).
 */
export function neededKinds(toolsSpec: unknown): QuotaKind[] {
  const tools = Object.keys(asRecord(toolsSpec)).filter((name) => name !== 'toolRegistry');
  if (tools.length !== 1) return ['text'];
  if (tools[0] === 'imageGenerationSpec') return ['text', 'images'];
  return tools[0] === 'videoGenerationSpec' ? ['text', 'videos'] : ['text'];
}

/** @throws Error when the value is not an object of known kinds with numbers. */
export function readQuotas(value: unknown): Quotas {
  const entries = Object.entries(asRecord(value));
  for (const [kind, limit] of entries) {
    if (!kinds.includes(kind as QuotaKind) || typeof limit !== 'number') {
      throw new Error(`no quota: ${kind}=${limit}`);
    }
  }
  return Object.fromEntries(entries);
}

const pacificDate = new Intl.DateTimeFormat('en-CA', { timeZone: 'America/Los_Angeles' });
let lastBlock = Number.NaN;
let lastDay = '';

/** The date in Los Angeles. Formatted once a quarter of an hour, where every midnight lies. */
function pacificDay(nowMs: number): string {
  const block = Math.floor(nowMs / blockMs);
  if (block !== lastBlock) lastDay = pacificDate.format(nowMs);
  lastBlock = block;
  return lastDay;
}
