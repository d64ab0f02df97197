/**
 * The values of all sources as they come. When one fails, or the consumer ends early, all are
 * ended; the failure is thrown.
 */
export async function* merge<T>(sources: AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const step = (index: number) => {
    const iterator = iterators[index];
    if (!iterator) throw new RangeError(`no source ${index}`);
    return iterator.next().then((result) => ({ index, result }));
  };
  const pending = new Map(iterators.map((_, index) => [index, step(index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done) pending.delete(index);
      else {
        pending.set(index, step(index));
        yield result.value;
      }
    }
  } finally {
    // What the others still throw is of no interest any more, but must not go unhandled.
    for (const promise of pending.values()) promise.catch(() => {});
    await Promise.allSettled(iterators.map((iterator) => iterator.return?.()));
  }
}
