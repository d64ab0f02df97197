const MAX_CHARACTERS = 255;

/**
 * A caller's name for a file as it is kept and shown: the last part of a path of either kind, without
 * characters that steer (line breaks, NUL, turned writing), at most 255 characters; `file` if nothing
 * is left.
 */
export function plainFileName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  const visible = last.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
  const short = Array.from(visible.trim()).slice(0, MAX_CHARACTERS).join('').trim();
  return ['', '.', '..'].includes(short) ? 'file' : short;
}
