/**
 * Runs `run` on every item, at most `limit` at the same time, in order. After a failure nothing new is
 * begun; what is under way is waited for, and the first failure is thrown.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  // All workers draw from the one iterator.
  const queue = [...items].values();
  let hasFailed = false;
  const worker = async () => {
    for (const item of queue) {
      if (hasFailed) return;
      await run(item);
    }
  };
  const workers = Array.from({ length: limit }, worker);
  try {
    await Promise.all(workers);
  } finally {
    hasFailed = true;
    await Promise.allSettled(workers);
  }
}
