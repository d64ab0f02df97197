/** A JSON object of which nothing is known yet. */
export type Fields = Record<string, unknown>;

/** True for a JSON object, and not for an array. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const maxFileIdLength = 256;
const maxTextLength = 512;
/** The names of RFC 6838, 4.2; parameters that follow are left out. */
const mediaType = /^([\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127})\s*(?:;|$)/;

/** A string with something in it, of a name's length; null for all else. */
export function textOf(value: unknown, maxLength = maxTextLength): string | null {
  const isText = typeof value === 'string' && value !== '' && value.length <= maxLength;
  return isText ? value : null;
}

/** The media type that a field or a header names, without parameters; null if it names none. */
export function mediaTypeOf(value: unknown): string | null {
  return typeof value === 'string' ? (mediaType.exec(value)?.[1] ?? null) : null;
}
