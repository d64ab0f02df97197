import { randomBytes } from 'node:crypto';
import { keyPrefix, toApiKey } from '@/features/keys/key-format';
import { cachedTable, reloadTable, stampChange } from '@/platform/cached-table';
import { sha256Hex } from '@/platform/crypto';
import { query, sqlTime } from '@/platform/db';
import { AppError } from '@/platform/errors';
import { rowId } from '@/platform/row-id';
import { writeLatestBehind } from '@/platform/write-behind';

const TABLE = 'keys';
const MAX_UNKNOWN_KEYS = 10_000;
const MARK_USED = `UPDATE "ApiKey" SET "lastUsedAt" = ${sqlTime('"used".value->>1')}
  FROM json_each(?) AS "used" WHERE "ApiKey"."id" = "used".value->>0`;

/** A key that may be used now, as far as its row says. */
export interface ApiKey {
  id: string;
  name: string;
  /** Ids of the models that it may use; null: all. */
  models: string[] | null;
  expiresAtMs: number | null;
}

interface KeyTable {
  byHash: Map<string, ApiKey>;
  /** Hashes that were looked up and are no key, so that a wrong key costs one look-up only. */
  unknown: Set<string>;
}

async function load(): Promise<KeyTable> {
  const rows = await query((db) => db.apiKey.findMany({ where: { revokedAt: null } }));
  const byHash = new Map(rows.map((row) => [row.hash, toKey(row)]));
  return { byHash, unknown: new Set() };
}

function toKey(row: {
  id: string;
  name: string;
  models: string | null;
  expiresAt: Date | null;
}): ApiKey {
  return {
    id: row.id,
    name: row.name,
    models: row.models === null ? null : (JSON.parse(row.models) as string[]),
    expiresAtMs: row.expiresAt?.getTime() ?? null,
  };
}

/**
 * The key behind what a caller presented. A key made by another process a moment ago is found.
 * @throws AppError `missing_api_key` or `invalid_api_key`
 */
export async function verifyKey(presented: string | null, nowMs: number): Promise<ApiKey> {
  if (!presented) {
    throw new AppError(
      'missing_api_key',
      'No API key was given. Send it as "Authorization: Bearer sk-…".',
    );
  }
  const hash = sha256Hex(presented);
  const table = await cachedTable(TABLE, load);
  const key = table.byHash.get(hash) ?? (await lookUpOnce(table, hash));
  if (!key || (key.expiresAtMs !== null && key.expiresAtMs <= nowMs)) {
    throw new AppError('invalid_api_key', 'The API key is wrong, revoked or expired.');
  }
  writeLatestBehind(MARK_USED, key.id, [key.id, nowMs]);
  return key;
}

async function lookUpOnce(table: KeyTable, hash: string): Promise<ApiKey | null> {
  if (table.unknown.has(hash)) return null;
  const row = await query((db) => db.apiKey.findUnique({ where: { hash } }));
  if (row && row.revokedAt === null) {
    const key = toKey(row);
    table.byHash.set(hash, key);
    return key;
  }
  if (table.unknown.size >= MAX_UNKNOWN_KEYS) table.unknown.clear();
  table.unknown.add(hash);
  return null;
}

export interface NewKey {
  name: string;
  models: string[] | null;
  expiresAtMs: number | null;
}

/**
 * Makes a key and returns it; only its hash is kept, so this is the only time that it is seen.
 * @throws AppError `invalid_request`, or `conflict` if a key of that name is in force
 */
export async function createKey({ name, models, expiresAtMs }: NewKey): Promise<string> {
  if (!/^\S(.{0,62}\S)?$/u.test(name)) {
    throw new AppError('invalid_request', 'A key needs a name of 1 to 64 characters.', {
      param: 'name',
    });
  }
  if (await findActive(name)) {
    throw new AppError(
      'conflict',
      `There is a key named ${name} already. Revoke it first, or take another name.`,
    );
  }
  const key = toApiKey(randomBytes(128));
  await query((db) =>
    db.$transaction([
      db.apiKey.create({
        data: {
          id: rowId(Date.now()),
          name,
          hash: sha256Hex(key),
          prefix: keyPrefix(key),
          models: models === null ? null : JSON.stringify(models),
          expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs),
        },
      }),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
  return key;
}

/**
 * Takes the key of that name out of use, for good.
 * @throws AppError `not_found`
 */
export async function revokeKey(name: string): Promise<void> {
  const row = await findActive(name);
  if (!row) throw new AppError('not_found', `There is no key in force named ${name}.`);
  await query((db) =>
    db.$transaction([
      db.apiKey.update({ where: { id: row.id }, data: { revokedAt: new Date() } }),
      stampChange(db, TABLE),
    ]),
  );
  await reloadTable(TABLE, load);
}

function findActive(name: string) {
  return query((db) => db.apiKey.findFirst({ where: { name, revokedAt: null } }));
}

/** The ids of the keys that were revoked or have expired before `timeMs`. */
export async function keysOverBefore(timeMs: number): Promise<string[]> {
  const before = { lt: new Date(timeMs) };
  const rows = await query((db) =>
    db.apiKey.findMany({
      where: { OR: [{ revokedAt: before }, { expiresAt: before }] },
      select: { id: true },
    }),
  );
  return rows.map(({ id }) => id);
}

/** What the operator may see of a key. */
export interface KeySummary {
  id: string;
  name: string;
  prefix: string;
  models: string[] | null;
  createdAt: Date;
  expiresAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
}

/** The newest 1,000 keys, revoked ones included, newest first. */
export async function listKeys(): Promise<KeySummary[]> {
  const rows = await query((db) => db.apiKey.findMany({ orderBy: { id: 'desc' }, take: 1_000 }));
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    prefix: row.prefix,
    models: toKey(row).models,
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    revokedAt: row.revokedAt,
    lastUsedAt: row.lastUsedAt,
  }));
}
