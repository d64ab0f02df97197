/** A JSON object of which nothing is known yet. */
export type Fields = Record<string, unknown>;

/** True for a JSON object, and not for an array. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
