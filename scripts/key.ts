import { parseArgs } from 'node:util';
import { parseLife } from '@/features/keys/key-format';
import { createKey, listKeys, revokeKey } from '@/features/keys/keys';
import { resolveModelIds } from '@/features/models/models';
import { AppError } from '@/platform/errors';
import { commaList, minute, printTable, runCommand } from './command-line.ts';

const HELP = `npm run key -- create NAME [--models a,b] [--expires 30d]   make a key; printed once, as the last line
npm run key -- list                                         all keys
npm run key -- revoke NAME                                  take a key out of use`;

await runCommand(HELP, async (argv) => {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { models: { type: 'string' }, expires: { type: 'string' } },
  });
  const [verb, name, ...rest] = positionals;
  if (rest.length > 0) return false;
  if (verb === 'list' && !name) {
    const keys = await listKeys();
    printTable(
      ['name', 'key', 'models', 'created', 'expires', 'last used', 'state'],
      keys.map((key) => [
        key.name,
        `${key.prefix}…`,
        key.models?.join(',') ?? 'all',
        day(key.createdAt),
        day(key.expiresAt),
        day(key.lastUsedAt),
        key.revokedAt
          ? 'revoked'
          : key.expiresAt && key.expiresAt <= new Date()
            ? 'expired'
            : 'in force',
      ]),
      'There is no key yet. Make one: npm run key -- create NAME',
    );
    return true;
  }
  if (verb === 'revoke' && name) {
    await revokeKey(name);
    console.log(`The key ${name} is revoked. A running server refuses it within a second.`);
    return true;
  }
  if (verb !== 'create' || !name) return false;
  const key = await createKey({
    name,
    models: values.models === undefined ? null : await modelIds(values.models),
    expiresAtMs: values.expires === undefined ? null : expiry(values.expires),
  });
  console.log(`The key ${name}, shown only now:`);
  console.log(key);
  return true;
});

function modelIds(text: string): Promise<string[]> {
  const names = commaList(text);
  if (names.length === 0) {
    throw new AppError(
      'invalid_request',
      '--models takes one or more models, such as a,b. Leave it out for all models.',
    );
  }
  return resolveModelIds(names);
}

function expiry(text: string): number {
  const lifeMs = parseLife(text);
  if (lifeMs === null)
    throw new AppError(
      'invalid_request',
      '--expires takes a time such as 30d, 12h or 45m. Leave it out for a key without an end.',
    );
  return Date.now() + lifeMs;
}

function day(date: Date | null): string {
  return date ? minute(date.getTime()) : '-';
}
