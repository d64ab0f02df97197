import path from 'node:path';
import { fileTypeOfFile } from '@/platform/file-type';

const PLAIN = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$/;
const UNKNOWN = 'application/octet-stream';
/** What senders declare who do not know; a form part without a type counts as plain text. */
const saysNothing = new Set([UNKNOWN, 'text/plain']);
/** What content shows of many kinds of files, which the name may tell apart. */
const containers = new Set(['application/zip', 'application/x-cfb', 'application/xml']);

const OPEN_XML = 'application/vnd.openxmlformats-officedocument';
const byExtension = new Map<string, string>([
  ['csv', 'text/csv'],
  ['doc', 'application/msword'],
  ['docx', `${OPEN_XML}.wordprocessingml.document`],
  ['htm', 'text/html'],
  ['html', 'text/html'],
  ['json', 'application/json'],
  ['jsonl', 'application/jsonl'],
  ['md', 'text/markdown'],
  ['ppt', 'application/vnd.ms-powerpoint'],
  ['pptx', `${OPEN_XML}.presentationml.presentation`],
  ['svg', 'image/svg+xml'],
  ['tsv', 'text/tab-separated-values'],
  ['xls', 'application/vnd.ms-excel'],
  ['xlsx', `${OPEN_XML}.spreadsheetml.sheet`],
  ['xml', 'application/xml'],
  ['yaml', 'application/yaml'],
  ['yml', 'application/yaml'],
  ...words(
    'txt log text ini conf cfg toml env srt vtt tex rst diff patch c h cc cpp hpp cs css go java js jsx mjs kt lua php pl py r rb rs scala sh sql swift ts tsx vue',
  ).map((extension): [string, string] => [extension, 'text/plain']),
]);

function words(text: string): string[] {
  return text.split(' ');
}

/**
 * The media type of a file on disk, without parameters: what its content shows, else what its sender
 * declared, else what its name tells.
 */
export async function contentTypeOf(
  file: string,
  { declared, filename }: { declared: string; filename: string },
): Promise<string> {
  const shown = (await fileTypeOfFile(file))?.mime.split(';')[0];
  if (shown && !containers.has(shown)) return shown;
  const told = byExtension.get(path.extname(filename).slice(1).toLowerCase());
  if (shown) return told ?? shown;
  const given = declared.trim().toLowerCase();
  if (PLAIN.test(given) && !saysNothing.has(given)) return given;
  return told ?? (saysNothing.has(given) ? given : UNKNOWN);
}
