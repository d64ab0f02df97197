/**
 * Round robin: of the candidates, the one whose last turn is longest ago (never had one first);
 * undefined if there is none. Fair whoever rests, comes or goes meanwhile, unlike a position in a list.
 */
export function nextInTurn<T extends { id: string }>(
  candidates: Iterable<T>,
  lastTurn: ReadonlyMap<string, number>,
): T | undefined {
  let next: T | undefined;
  let earliest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const turn = lastTurn.get(candidate.id) ?? -1;
    if (turn < earliest) {
      next = candidate;
      earliest = turn;
    }
  }
  return next;
}
