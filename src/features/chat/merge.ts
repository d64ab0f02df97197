/**
 * The values of all sources as they come. When one fails, or the consumer ends early, `abort` is
 * called, which must end the sources that still wait for something; the failure is thrown.
 */
export async function* merge<T>(
  sources: AsyncIterable<T>[],
  abort: () => void,
): AsyncGenerator<T, void, undefined> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const pending = new Map<number, Promise<{ index: number; result: IteratorResult<T> }>>();
  const step = (iterator: AsyncIterator<T>, index: number) =>
    pending.set(
      index,
      iterator.next().then((result) => ({ index, result })),
    );
  iterators.forEach(step);
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const iterator = iterators[index];
      if (result.done || !iterator) pending.delete(index);
      else {
        step(iterator, index);
        yield result.value;
      }
    }
  } finally {
    // What the others still throw is of no interest any more, but must not go unhandled.
    for (const promise of pending.values()) promise.catch(() => {});
    if (pending.size > 0) abort();
    await Promise.allSettled(iterators.map((iterator) => iterator.return?.()));
  }
}
