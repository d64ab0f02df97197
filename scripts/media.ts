import { parseArgs } from 'node:util';
import { type Account, allAccounts } from '@/features/accounts/account-table';
import { deleteMedia, listMedia, type Media, type MediaKind } from '@/features/media/media';
import { AppError } from '@/platform/errors';
import { printTable, runCommand } from './command-line.ts';

const HELP = `npm run media -- list [--kind image|video] [--model M] [--account A] [--key K] [--after CURSOR]
                                       the newest 100 images and videos, or those after a cursor
npm run media -- delete ID             delete one, wherever it is stored but with the image host`;

const PAGE = 100;

await runCommand(HELP, async (argv) => {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      kind: { type: 'string' },
      model: { type: 'string' },
      account: { type: 'string' },
      key: { type: 'string' },
      after: { type: 'string' },
    },
  });
  const [verb, id, ...rest] = positionals;
  if (rest.length > 0) return false;
  if (verb === 'delete' && id) {
    await deleteMedia(id);
    console.log(`${id} is deleted.`);
    return true;
  }
  if (verb !== 'list' || id) return false;
  const accounts = await allAccounts();
  const { items, nextCursor } = await listMedia({
    kind: kindOf(values.kind),
    modelId: values.model,
    accountId: values.account && idOf(values.account, accounts),
    apiKeyId: values.key,
    after: values.after,
    limit: PAGE,
  });
  printTable(
    ['id', 'address', 'type', 'bytes', 'model', 'account', 'key', 'made', 'last used', 'stored'],
    items.map((media) => lineOf(media, accounts)),
    'There are no images and videos.',
  );
  if (nextCursor) console.log(`More: npm run media -- list --after ${nextCursor}`);
  return true;
});

function kindOf(text: string | undefined): MediaKind | undefined {
  if (text === undefined || text === 'image' || text === 'video') return text;
  throw new AppError('invalid_request', '--kind takes image or video.');
}

/** Of an account that is deleted only the id is known. */
function idOf(name: string, accounts: ReadonlyMap<string, Account>): string {
  return [...accounts.values()].find(({ label }) => label === name)?.id ?? name;
}

function lineOf(media: Media, accounts: ReadonlyMap<string, Account>): string[] {
  return [
    media.id,
    media.externalUrl ?? `/${media.kind}/${media.name}`,
    media.mimeType,
    String(media.bytes),
    media.modelId,
    accounts.get(media.accountId)?.label ?? media.accountId,
    media.apiKeyId,
    minute(media.createdAtMs),
    minute(media.lastUsedAtMs),
    media.inBucket ? 'bucket' : 'disk',
  ];
}

function minute(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 16).replace('T', ' ');
}
