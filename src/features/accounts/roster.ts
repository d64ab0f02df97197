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
 * Who is next among many: a tree over fixed places, in which each node knows the best, the sum of
 * weights and the soonest below it. Every operation but the first filling takes O(log n).
 */
export class Roster {
  readonly #leaves: number;
  readonly #standings: (Standing | undefined)[];
  /** By node, root at 1: the place of the best ready one, or -1. */
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
    for (let node = this.#leaves - 1; node >= 1; node--) this.#sum(node);
  }

  /** Sets how a place stands. */
  put(place: number, standing: Standing): void {
    const known = this.#standings[place];
    if (known && isSame(known, standing)) return;
    this.#set(place, standing);
    for (let node = (this.#leaves + place) >> 1; node >= 1; node >>= 1) this.#sum(node);
  }

  #set(place: number, standing: Standing): void {
    const leaf = this.#leaves + place;
    this.#standings[place] = standing;
    this.#best[leaf] = standing.isReady ? place : -1;
    this.#weight[leaf] = standing.isReady ? standing.weight : 0;
    this.#waker[leaf] = standing.wakeAtMs < Number.POSITIVE_INFINITY ? place : -1;
    this.#returnAtMs[leaf] = standing.returnAtMs;
  }

  #sum(node: number): void {
    const left = 2 * node;
    const right = left + 1;
    this.#best[node] = this.#better(this.#at(this.#best, left), this.#at(this.#best, right));
    this.#weight[node] = this.#at(this.#weight, left) + this.#at(this.#weight, right);
    this.#waker[node] = this.#earlier(this.#at(this.#waker, left), this.#at(this.#waker, right));
    this.#returnAtMs[node] = Math.min(
      this.#at(this.#returnAtMs, left),
      this.#at(this.#returnAtMs, right),
    );
  }

  #at(nodes: Int32Array | Float64Array, node: number): number {
    return nodes[node] as number;
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

  /** Whether the first here ranks before the first there; true if nobody is ready there. */
  isAheadOf(other: Roster): boolean {
    const mine = this.#standings[this.first()];
    const theirs = other.#standings[other.first()];
    if (!mine || !theirs) return mine !== undefined;
    return mine.major === theirs.major ? mine.minor < theirs.minor : mine.major < theirs.major;
  }

  /** The weights of all that are ready. */
  get weight(): number {
    return this.#at(this.#weight, 1);
  }

  /** Whether the place is among the ready ones. */
  isReady(place: number): boolean {
    return this.#standings[place]?.isReady ?? false;
  }

  /** A ready place at random, by weight; -1 if none is ready. `random` is from 0 to below 1. */
  draw(random: number): number {
    if (this.first() < 0) return -1;
    let left = random * this.#at(this.#weight, 1);
    let node = 1;
    while (node < this.#leaves) {
      const below = 2 * node;
      const weight = this.#at(this.#weight, below);
      const goesRight = left >= weight && this.#at(this.#best, below + 1) >= 0;
      if (goesRight) left -= weight;
      node = goesRight || this.#at(this.#best, below) < 0 ? below + 1 : below;
    }
    return node - this.#leaves;
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

function isSame(one: Standing, other: Standing): boolean {
  return (
    one === other ||
    (one.isReady === other.isReady &&
      one.major === other.major &&
      one.minor === other.minor &&
      one.weight === other.weight &&
      one.wakeAtMs === other.wakeAtMs &&
      one.returnAtMs === other.returnAtMs)
  );
}
