import { parseArgs } from 'node:util';
import { deleteAnyFile, listAllFiles, type StoredFile } from '@/features/files/files';
import { type KeySummary, listKeys } from '@/features/keys/keys';
import { minute, printTable, runCommand } from './command-line.ts';
import { keyIdOf, keyNameOf } from './key-names.ts';

const HELP = `npm run files -- list [--key NAME] [--after ID]   the newest 100 files that callers uploaded, or those after one
npm run files -- delete ID                        delete one for good; a running server has its room at once`;

const PAGE = 100;

await runCommand(HELP, async (argv) => {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { key: { type: 'string' }, after: { type: 'string' } },
  });
  const [verb, id, ...rest] = positionals;
  if (rest.length > 0) return false;
  if (verb === 'delete' && id) {
    await deleteAnyFile(id);
    console.log(`${id} is deleted.`);
    return true;
  }
  if (verb !== 'list' || id) return false;
  const keys = await listKeys();
  const { files, hasMore } = await listAllFiles({
    apiKeyId: values.key === undefined ? null : keyIdOf(values.key, keys),
    after: values.after ?? null,
    limit: PAGE,
  });
  printTable(
    ['id', 'name', 'purpose', 'type', 'bytes', 'key', 'made', 'expires'],
    files.map((file) => lineOf(file, keys)),
    'There are no files.',
  );
  if (hasMore) console.log(`More: npm run files -- list --after ${files.at(-1)?.id}`);
  return true;
});

function lineOf(file: StoredFile, keys: readonly KeySummary[]): string[] {
  return [
    file.id,
    file.filename,
    file.purpose,
    file.mimeType,
    String(file.bytes),
    keyNameOf(file.apiKeyId, keys),
    minute(file.createdAtMs),
    file.expiresAtMs === null ? '-' : minute(file.expiresAtMs),
  ];
}
