/** How a place stands in a roster: what it is ranked by now, or until when it is out. */
export interface Standing {
  /** May be taken now. */
  isReady: boolean;
  /** The order among the ready ones: the smallest `major` first, of those the smallest `minor`. */
  major: number;
  minor: number;
  /** The chance in a draw, against that of the others. */
  weight: number;
  /** When it is worth another look; `Infinity` if only an event changes it. */
  wakeAtMs: number;
  /** When it serves again by itself, for those who ask how long to wait; `Infinity` if it does not. */
  returnAtMs: number;
}

/**
 * Who is next among many: a tree over fixed places, in which each knot knows the best, the sum of
 * weights and the soonest below it. Every operation but the first filling takes O(log n).
 */
export class Roster {
  readonly #leaves: number;
  readonly #standings: (Standing | undefined)[];
  /** By knot, root at 1: the place of the best ready one, or -1. */
  readonly #best: Int32Array;
  readonly #weight: Float64Array;
  /** The place with the earliest `wakeAtMs`, or -1. */
  readonly #waker: Int32Array;
  readonly #returnAtMs: Float64Array;

  constructor(places: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(2, places)));
    this.#standings = new Array(places);
    this.#best = new Int32Array(2 * this.#leaves).fill(-1);
    this.#weight = new Float64Array(2 * this.#leaves);
    this.#waker = new Int32Array(2 * this.#leaves).fill(-1);
    this.#returnAtMs = new Float64Array(2 * this.#leaves).fill(Number.POSITIVE_INFINITY);
  }

  /** Sets how all places stand, in O(n). */
  fill(standings: readonly Standing[]): void {
    standings.forEach((standing, place) => {
      this.#set(place, standing);
    });
    for (let knot = this.#leaves - 1; knot >= 1; knot--) this.#sum(knot);
  }

  /** Sets how a place stands. */
  put(place: number, standing: Standing): void {
    this.#set(place, standing);
    for (let knot = (this.#leaves + place) >> 1; knot >= 1; knot >>= 1) this.#sum(knot);
  }

  #set(place: number, standing: Standing): void {
    const leaf = this.#leaves + place;
    this.#standings[place] = standing;
    this.#best[leaf] = standing.isReady ? place : -1;
    this.#weight[leaf] = standing.isReady ? standing.weight : 0;
    this.#waker[leaf] = standing.wakeAtMs < Number.POSITIVE_INFINITY ? place : -1;
    this.#returnAtMs[leaf] = standing.returnAtMs;
  }

  #sum(knot: number): void {
    const left = 2 * knot;
    const right = left + 1;
    this.#best[knot] = this.#better(this.#at(this.#best, left), this.#at(this.#best, right));
    this.#weight[knot] = this.#at(this.#weight, left) + this.#at(this.#weight, right);
    this.#waker[knot] = this.#earlier(this.#at(this.#waker, left), this.#at(this.#waker, right));
    this.#returnAtMs[knot] = Math.min(
      this.#at(this.#returnAtMs, left),
      this.#at(this.#returnAtMs, right),
    );
  }

  #at(knots: Int32Array | Float64Array, knot: number): number {
    return knots[knot] as number;
  }

  #better(left: number, right: number): number {
    const mine = this.#standings[left];
    const other = this.#standings[right];
    if (!mine || !other) return mine ? left : right;
    if (mine.major !== other.major) return mine.major < other.major ? left : right;
    return mine.minor <= other.minor ? left : right;
  }

  #earlier(left: number, right: number): number {
    const mine = this.#standings[left];
    const other = this.#standings[right];
    if (!mine || !other) return mine ? left : right;
    return mine.wakeAtMs <= other.wakeAtMs ? left : right;
  }

  /** The place that is next by rank; -1 if none is ready. */
  first(): number {
    return this.#at(this.#best, 1);
  }

  /** A ready place at random, by weight; -1 if none is ready. `random` is from 0 to below 1. */
  draw(random: number): number {
    if (this.first() < 0) return -1;
    let left = random * this.#at(this.#weight, 1);
    let knot = 1;
    while (knot < this.#leaves) {
      const below = 2 * knot;
      const weight = this.#at(this.#weight, below);
      const goesRight = left >= weight && this.#at(this.#best, below + 1) >= 0;
      if (goesRight) left -= weight;
      knot = goesRight || this.#at(this.#best, below) < 0 ? below + 1 : below;
    }
    return knot - this.#leaves;
  }

  /** A place whose time to be looked at again has come; -1 if there is none. */
  due(nowMs: number): number {
    const place = this.#at(this.#waker, 1);
    return place >= 0 && (this.#standings[place]?.wakeAtMs ?? 0) <= nowMs ? place : -1;
  }

  /** When the first that is ready or comes back by itself does; `Infinity` if none. */
  get returnAtMs(): number {
    return this.#at(this.#returnAtMs, 1);
  }
}
