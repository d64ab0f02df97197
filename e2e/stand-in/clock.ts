/** The stand-in's own clock: real time plus an offset that a test may change. */
export class Clock {
  /** Milliseconds added to real time; tokens are judged by it and the `Date` header follows it. */
  offsetMs = 0;

  /** Milliseconds since the epoch on this clock. */
  now(): number {
    return Date.now() + this.offsetMs;
  }
}
