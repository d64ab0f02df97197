/**
 * Runs `run` on every item, at most `limit` at the same time, in order. After a failure nothing new is
 * begun; what is under way is waited for, and the first failure is thrown.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
  };
  const workers = Array.from({ length: Math.min(limit, queue.length) }, worker);
  try {
    await Promise.all(workers);
  } finally {
    queue.length = 0;
    await Promise.allSettled(workers);
  }
}
