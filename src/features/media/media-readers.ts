import { processState } from '@/platform/process-state';

interface Readers {
  /** How many read it now, by name. */
  reading: Map<string, number>;
  /** Names whose file goes at this moment. */
  going: Set<string>;
}

function readers(): Readers {
  return processState<Readers>('media-readers', () => ({ reading: new Map(), going: new Set() }));
}

/**
 * Counts a reader of the medium of that name, whose file stays as long as it has one.
 * @returns what to call at its end, once or more often; null if the file goes at this moment
 */
export function startReading(name: string): (() => void) | null {
  const { reading, going } = readers();
  if (going.has(name)) return null;
  reading.set(name, (reading.get(name) ?? 0) + 1);
  let isReading = true;
  return () => {
    if (!isReading) return;
    isReading = false;
    const left = (reading.get(name) ?? 0) - 1;
    if (left > 0) reading.set(name, left);
    else reading.delete(name);
  };
}

/**
 * Keeps new readers from the medium of that name, while its file is removed.
 * @returns what to call when that is done; null if somebody reads it, or removes it already
 */
export function holdForRemoval(name: string): (() => void) | null {
  const { reading, going } = readers();
  if (reading.has(name) || going.has(name)) return null;
  going.add(name);
  return () => going.delete(name);
}
