import type { KeySummary } from '@/features/keys/keys';
import { AppError } from '@/platform/errors';
import { printable } from './command-line.ts';

/**
 * The id of a key by its name or id; of several that had that name one after another, the newest.
 * @throws AppError `not_found`
 */
export function keyIdOf(text: string, keys: readonly KeySummary[]): string {
  const key = keys.find(({ id, name }) => name === text || id === text);
  if (key) return key.id;
  throw new AppError('not_found', `There is no key named ${printable(text)}.`);
}

/** The name of a key by its id; the id itself if there is no such key any more. */
export function keyNameOf(id: string, keys: readonly KeySummary[]): string {
  return keys.find((key) => key.id === id)?.name ?? id;
}
