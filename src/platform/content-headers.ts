type Headers = Record<string, string | string[] | undefined>;

/**
 * The first of a header's values; empty if there is none. `name` in lower case, as in `headers`; in
 * those a character is a byte, as undici and Node give them: servers mean UTF-8 where it is valid.
 */
export function headerOf(headers: Headers, name: string): string {
  const value = [headers[name]].flat()[0] ?? '';
  const utf8 = Buffer.from(value, 'latin1').toString('utf8');
  return utf8.includes('\ufffd') ? value : utf8;
}

/** The type of Content-Type, without parameters, in lower case. */
export function mimeTypeOf(headers: Headers): string | null {
  const [type] = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+/.exec(headerOf(headers, 'content-type')) ?? [];
  return type?.toLowerCase() ?? null;
}
