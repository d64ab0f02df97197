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

/**
 * What a file is called by Content-Disposition (RFC 6266), else by the last part of its URL's path.
 * The name is as the other side chose it, and may hold every character.
 */
export function fileNameOf(headers: Headers, url: URL): string | null {
  const disposition = headerOf(headers, 'content-disposition');
  const [, extended = ''] = /;\s*filename\*\s*=\s*UTF-8'[^']*'([^;\s]+)/i.exec(disposition) ?? [];
  const [, quoted, bare] =
    /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))/i.exec(disposition) ?? [];
  const plain = quoted?.replace(/\\(.)/g, '$1') ?? bare;
  const last = url.pathname.split('/').at(-1) ?? '';
  return decoded(extended) || plain || decoded(last) || null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
