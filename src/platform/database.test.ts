import fs from 'node:fs';
import path from 'node:path';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cachedTable, stampChange, stopCachedTables } from '@/platform/cached-table';
import { closeDatabase, openDatabase, query, sqlTime } from '@/platform/db';
import { takeJobLease } from '@/platform/job-lease';
import {
  flushWriteBehind,
  stopWriteBehind,
  writeBehind,
  writeLatestBehind,
} from '@/platform/write-behind';
import { holdDatabase, newDataFolder } from '../../e2e/support/data-folder';

const INSERT = `INSERT INTO "Setting" ("name", "value", "updatedAt")
  SELECT value->>0, value->>1, '2026-01-01T00:00:00.000+00:00' FROM json_each(?)`;
const UPDATE = `UPDATE "Setting" SET "value" = "new".value->>1 FROM json_each(?) AS "new"
  WHERE "Setting"."name" = "new".value->>0`;

const dataDir = newDataFolder();
process.env.DATA_DIR = dataDir;

afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

const settingsNamed = (prefix: string) =>
  query((db) =>
    db.setting.findMany({ where: { name: { startsWith: prefix } }, orderBy: { name: 'asc' } }),
  );

/** Holds the database from another connection for `ms`, as another process would. */
async function heldFor<T>(ms: number, run: () => Promise<T>): Promise<T> {
  setTimeout(holdDatabase(dataDir), ms);
  return run();
}

describe('the database', () => {
  it('writes ahead, so that readers never wait', async () => {
    await query((db) => db.setting.findMany());
    const [row] = await query((db) =>
      db.$queryRawUnsafe<{ journal_mode: string }[]>('PRAGMA journal_mode'),
    );
    expect(row?.journal_mode).toBe('wal');
  });

  it('waits for a writer of another process, and what it then writes is seen by others', async () => {
    await heldFor(700, () =>
      query((db) => db.setting.create({ data: { name: 'busy-one', value: '1' } })),
    );
    await heldFor(700, () =>
      query((db) =>
        db.$transaction([
          db.setting.create({ data: { name: 'busy-two', value: '2' } }),
          stampChange(db, 'busy'),
        ]),
      ),
    );
    await heldFor(700, () =>
      query((db) => db.$executeRawUnsafe(INSERT, JSON.stringify([['busy-zzz', '3']]))),
    );
    const other = new Database(path.join(dataDir, 'pool.db'));
    const seen = other
      .prepare(`SELECT "name" FROM "Setting" WHERE "name" LIKE 'busy-%' ORDER BY "name"`)
      .all();
    other.close();
    expect(seen).toMatchObject([{ name: 'busy-one' }, { name: 'busy-two' }, { name: 'busy-zzz' }]);
  });

  it('refuses queries once it is closed, until it is opened again', async () => {
    const late = heldFor(300, () =>
      query((db) => db.setting.create({ data: { name: 'late', value: '1' } })),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await closeDatabase();
    await expect(late).rejects.toThrow('The database is closed.');
    await expect(query((db) => db.setting.findMany())).rejects.toThrow('The database is closed.');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await openDatabase();
    expect(await settingsNamed('late')).toEqual([]);
  });

  it('stores times in one form, by Prisma and by raw SQL', async () => {
    const times = Array.from(
      { length: 500 },
      (_, number) => 1_767_323_045_678 + number * 7_919_333,
    );
    await query((db) =>
      db.jobLease.createMany({
        data: times.map((at) => ({
          name: `time-${at}`,
          holder: String(at),
          leasedUntil: new Date(at),
        })),
      }),
    );
    const rows = await query((db) =>
      db.$queryRawUnsafe<{ prisma: string; raw: string }[]>(
        `SELECT "leasedUntil" || '' AS "prisma", ${sqlTime('"holder"')} AS "raw" FROM "JobLease"
          WHERE "name" LIKE 'time-%'`,
      ),
    );
    expect(rows).toHaveLength(500);
    for (const { prisma, raw } of rows) expect(raw).toBe(prisma);
  });
});

describe('write-behind', () => {
  beforeAll(async () => {
    await query((db) => db.setting.create({ data: { name: 'latest', value: '0' } }));
  });

  it('writes all rows in order, more than a batch of them', async () => {
    for (let number = 0; number < 450; number++) {
      writeBehind(INSERT, [`row-${String(number).padStart(3, '0')}`, String(number)]);
    }
    await flushWriteBehind();
    const rows = await settingsNamed('row-');
    expect(rows.map((row) => row.value)).toEqual(
      Array.from({ length: 450 }, (_, number) => String(number)),
    );
  });

  it('writes only the latest row of an id', async () => {
    for (let number = 1; number <= 3; number++)
      writeLatestBehind(UPDATE, 'latest', ['latest', String(number)]);
    await flushWriteBehind();
    expect(await settingsNamed('latest')).toMatchObject([{ value: '3' }]);
  });

  it('keeps what comes while it flushes, and what is left at the stop', async () => {
    writeBehind(INSERT, ['late-1', '1']);
    const flushing = flushWriteBehind();
    writeBehind(INSERT, ['late-2', '2']);
    await flushing;
    await stopWriteBehind();
    expect(await settingsNamed('late-')).toHaveLength(2);
  });
});

describe('a cached table', () => {
  it('is read once, then from memory, and anew within a second after a change elsewhere', async () => {
    let loads = 0;
    const load = async () => {
      loads += 1;
      return loads;
    };
    expect(await Promise.all([cachedTable('test', load), cachedTable('test', load)])).toEqual([
      1, 1,
    ]);
    expect(cachedTable('test', load)).toBe(1);
    await query((db) => db.$transaction([stampChange(db, 'test')]));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(cachedTable('test', load)).toBe(2);
  });

  it('tries again after a load that failed', async () => {
    let loads = 0;
    const load = async () => {
      loads += 1;
      if (loads === 1) throw new Error('no');
      return 'well';
    };
    await expect(cachedTable('bad', load)).rejects.toThrow('no');
    expect(await cachedTable('bad', load)).toBe('well');
  });
});

describe('a job lease', () => {
  it('is given to one holder until it ends', async () => {
    const now = Date.now();
    expect(await takeJobLease('job', 'a', now, now + 1_000)).toBe(true);
    expect(await takeJobLease('job', 'b', now, now + 1_000)).toBe(false);
    expect(await takeJobLease('job', 'a', now, now + 1_000)).toBe(true);
    expect(await takeJobLease('job', 'b', now + 1_001, now + 2_000)).toBe(true);
  });

  it('has one winner among many', async () => {
    const now = Date.now();
    const wins = await Promise.all(
      Array.from({ length: 10 }, (_, holder) =>
        takeJobLease('race', String(holder), now, now + 1_000),
      ),
    );
    expect(wins.filter(Boolean)).toHaveLength(1);
  });
});

it('leaves no other file than the database in the folder', () => {
  const names = fs.readdirSync(dataDir).filter((name) => !name.startsWith('pool.db'));
  expect(names).toEqual([]);
});
