import { parseArgs } from 'node:util';
import { type Account, allAccounts } from '@/features/accounts/account-table';
import { getAccount } from '@/features/accounts/accounts';
import { type KeySummary, listKeys } from '@/features/keys/keys';
import { deleteMedia, listMedia, type Media, type MediaKind } from '@/features/media/media';
import { AppError } from '@/platform/errors';
import { minute, printTable, runCommand } from './command-line.ts';
import { keyIdOf, keyNameOf } from './key-names.ts';

const HELP = `npm run media -- list [--kind image|video] [--model M] [--account A] [--key NAME] [--after CURSOR]
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
  const [accounts, keys] = await Promise.all([allAccounts(), listKeys()]);
  const { items, nextCursor } = await listMedia({
    kind: kindOf(values.kind),
    modelId: values.model,
    accountId: values.account && (await getAccount(values.account)).id,
    apiKeyId: values.key && keyIdOf(values.key, keys),
    after: values.after,
    limit: PAGE,
  });
  printTable(
    ['id', 'address', 'type', 'bytes', 'model', 'account', 'key', 'made', 'last used', 'stored'],
    items.map((media) => lineOf(media, accounts, keys)),
    'There are no images and videos.',
  );
  if (nextCursor) console.log(`More: npm run media -- list --after ${nextCursor}`);
  return true;
});

function kindOf(text: string | undefined): MediaKind | undefined {
  if (text === undefined || text === 'image' || text === 'video') return text;
  throw new AppError('invalid_request', '--kind takes image or video.');
}

function lineOf(
  media: Media,
  accounts: ReadonlyMap<string, Account>,
  keys: readonly KeySummary[],
): string[] {
  return [
    media.id,
    media.externalUrl ?? `/${media.kind}/${media.name}`,
    media.mimeType,
    String(media.bytes),
    media.modelId,
    accounts.get(media.accountId)?.label ?? media.accountId,
    keyNameOf(media.apiKeyId, keys),
    minute(media.createdAtMs),
    minute(media.lastUsedAtMs),
    media.inBucket ? 'bucket' : 'disk',
  ];
}
