const waitLimitMs = 10_000;

interface Waiting {
  piece: number;
  release: (acknowledged: boolean) => void;
}

/** Streams that write a piece only after the test has seen the one before. */
export class Lockstep {
  readonly #waiting = new Map<string, Waiting>();

  /** Number of the piece that each stream waits to have confirmed, by the stream's id. */
  get waiting(): Record<string, number> {
    return Object.fromEntries([...this.#waiting].map(([id, wait]) => [id, wait.piece]));
  }

  /**
   * Waits until the piece just written is confirmed. False after 10 s, when `gone` resolves first,
   * or when another stream took the same id.
   */
  confirmed(id: string, piece: number, gone: Promise<void>): Promise<boolean> {
    this.#waiting.get(id)?.release(false);
    return new Promise((resolve) => {
      const release = (acknowledged: boolean) => {
        clearTimeout(timer);
        if (this.#waiting.get(id) === wait) this.#waiting.delete(id);
        resolve(acknowledged);
      };
      const wait: Waiting = { piece, release };
      const timer = setTimeout(() => release(false), waitLimitMs);
      this.#waiting.set(id, wait);
      gone.then(() => release(false));
    });
  }

  /** Confirms the piece that the stream has written last; false when no such stream waits. */
  acknowledge(id: string): boolean {
    const wait = this.#waiting.get(id);
    wait?.release(true);
    return wait !== undefined;
  }

  /** Cuts every waiting stream. */
  clear(): void {
    for (const wait of [...this.#waiting.values()]) wait.release(false);
  }
}
