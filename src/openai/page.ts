/** Pages of what a key has, as OpenAI's lists have them (contract 7). */

/** The answer of a list; the order of `items` is kept. */
export function toPage<T extends { id: string }>(items: readonly T[], hasMore: boolean) {
  return {
    object: 'list',
    data: items,
    first_id: items[0]?.id ?? null,
    last_id: items.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** A query as an object; an empty value counts as absent. */
export function givenOf(query: Iterable<[string, string]>): Record<string, string> {
  return Object.fromEntries([...query].filter(([, value]) => value !== ''));
}

/** A time as the wire has it. */
export function toUnixSeconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
