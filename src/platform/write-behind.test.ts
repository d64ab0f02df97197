import { afterAll, beforeEach, expect, it, vi } from 'vitest';
import { closeDatabase, query } from '@/platform/db';
import { log } from '@/platform/log';
import {
  addBehind,
  flushWriteBehind,
  stopWriteBehind,
  writeBehind,
  writeInOrderBehind,
  writeLatestBehind,
} from '@/platform/write-behind';
import { newDataFolder } from '../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

afterAll(closeDatabase);

const insertInto = (table: string) =>
  `INSERT INTO "${table}" ("text") SELECT value->>0 FROM json_each(?)`;
const setup = (sql: string) => query((db) => db.$executeRawUnsafe(sql));
const makeTable = (table: string) =>
  setup(`CREATE TABLE IF NOT EXISTS "${table}" ("id" INTEGER PRIMARY KEY, "text" TEXT)`);
const dropTable = (table: string) => setup(`DROP TABLE IF EXISTS "${table}"`);

async function textsOf(table: string): Promise<string[]> {
  const rows = await query((db) =>
    db.$queryRawUnsafe<{ text: string }[]>(`SELECT "text" FROM "${table}" ORDER BY "id"`),
  );
  return rows.map((row) => row.text);
}

beforeEach(async () => {
  for (const table of ['Gone', 'Gone2']) await makeTable(table);
  await flushWriteBehind();
  for (const table of ['Gone', 'Gone2', 'Here']) await dropTable(table);
  await makeTable('Here');
  vi.restoreAllMocks();
});

it('writes what it can although other statements fail, and those when they can be', async () => {
  for (const text of ['1', '2', '3']) writeBehind(insertInto('Gone'), [text]);
  writeBehind(insertInto('Here'), ['appended']);
  writeLatestBehind(insertInto('Gone2'), 'id', ['4']);
  writeLatestBehind(insertInto('Here'), 'id', ['latest']);
  const failure = await flushWriteBehind().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(AggregateError);
  expect((failure as AggregateError).errors).toHaveLength(2);
  expect(await textsOf('Here')).toEqual(['latest', 'appended']);

  for (const table of ['Gone', 'Gone2']) await makeTable(table);
  await flushWriteBehind();
  expect(await textsOf('Gone')).toEqual(['1', '2', '3']);
  expect(await textsOf('Gone2')).toEqual(['4']);
});

it('keeps the later of two rows of an id when the write of the first fails', async () => {
  writeLatestBehind(insertInto('Gone'), 'id', ['first']);
  const flushing = flushWriteBehind();
  writeLatestBehind(insertInto('Gone'), 'id', ['second']);
  await expect(flushing).rejects.toThrow();
  await makeTable('Gone');
  await flushWriteBehind();
  expect(await textsOf('Gone')).toEqual(['second']);
});

it('adds up the amounts of an id, also of those whose write has failed', async () => {
  const sumInto = (table: string) =>
    `INSERT INTO "${table}" ("text") SELECT value FROM json_each(?) ORDER BY value`;
  addBehind(sumInto('Gone'), 'a', ['a', null], [1, 0.5]);
  addBehind(sumInto('Gone'), 'b', ['b', null], [7, 0]);
  addBehind(sumInto('Gone'), 'a', ['a', null], [2, 0.25]);
  const flushing = flushWriteBehind();
  addBehind(sumInto('Gone'), 'a', ['a', null], [4, 0]);
  await expect(flushing).rejects.toThrow();
  await makeTable('Gone');
  await flushWriteBehind();
  expect(await textsOf('Gone')).toEqual(['["a",null,7,0.75]', '["b",null,7,0]']);
  await flushWriteBehind();
  expect(await textsOf('Gone')).toHaveLength(2);
});

it('warns once while it fails, and says when it works again', async () => {
  const warn = vi.spyOn(log(), 'warn');
  const info = vi.spyOn(log(), 'info');
  for (let period = 1; period <= 2; period++) {
    writeBehind(insertInto('Gone'), ['1']);
    for (let count = 0; count < 3; count++) await expect(flushWriteBehind()).rejects.toThrow();
    expect(warn).toHaveBeenCalledTimes(period);
    await makeTable('Gone');
    for (let count = 0; count < 2; count++) await flushWriteBehind();
    expect(info).toHaveBeenCalledTimes(period);
    await dropTable('Gone');
  }
});

it('drops the oldest rows beyond its bound, also of those that come back', async () => {
  for (let number = 0; number < 20_000; number++) writeBehind(insertInto('Gone'), [`${number}`]);
  const flushing = flushWriteBehind();
  for (let number = 0; number < 150; number++) writeBehind(insertInto('Gone'), [`new ${number}`]);
  await expect(flushing).rejects.toThrow();
  const warn = vi.spyOn(log(), 'warn');
  await makeTable('Gone');
  await flushWriteBehind();
  const texts = await textsOf('Gone');
  expect(texts).toHaveLength(20_000);
  expect([texts[0], texts.at(-1)]).toEqual(['150', 'new 149']);
  expect(warn).toHaveBeenCalledWith({ rows: 150 }, expect.any(String));
});

it('drops the oldest ids beyond its bound, also when those come back that a write has failed', async () => {
  const latest = (number: number, text = `${number}`) =>
    writeLatestBehind(insertInto('Gone'), `${number}`, [text]);
  for (let number = 0; number < 20_001; number++) latest(number);
  const flushing = flushWriteBehind();
  latest(2, 'renewed');
  for (let number = 20_001; number < 20_150; number++) latest(number);
  await expect(flushing).rejects.toThrow();
  latest(20_150);
  const warn = vi.spyOn(log(), 'warn');
  await makeTable('Gone');
  await flushWriteBehind();
  const texts = await textsOf('Gone');
  expect(texts).toEqual(Array.from({ length: 20_000 }, (_, index) => `${index + 151}`));
  expect(warn).toHaveBeenCalledWith({ rows: 151 }, expect.any(String));
});

it('writes ids in batches, and each of them once', async () => {
  for (let number = 0; number < 450; number++) {
    writeLatestBehind(insertInto('Here'), `${number}`, [`${number}`]);
  }
  for (let count = 0; count < 2; count++) await flushWriteBehind();
  expect(await textsOf('Here')).toEqual(Array.from({ length: 450 }, (_, number) => `${number}`));
});

it('writes what belongs together in order, and nothing whose earlier rows can not be written', async () => {
  const statements = [insertInto('Gone'), insertInto('Here')];
  const names = Array.from({ length: 250 }, (_, number) => `${number}`);
  for (const name of names) {
    writeInOrderBehind(statements, [[[`${name} a`], [`${name} b`]], [[name]]]);
  }
  await expect(flushWriteBehind()).rejects.toThrow();
  expect(await textsOf('Here')).toEqual([]);
  await makeTable('Gone');
  await flushWriteBehind();
  expect(await textsOf('Here')).toEqual(names);
  expect(await textsOf('Gone')).toEqual(names.flatMap((name) => [`${name} a`, `${name} b`]));

  await dropTable('Gone');
  writeInOrderBehind(statements, [[['lost']], [['lost']]]);
  expect(await stopWriteBehind()).toBe(1);
  await makeTable('Gone');
});

it('stops without failing on a flush that fails, and tells how many rows are lost', async () => {
  for (const text of ['1', '2']) writeBehind(insertInto('Gone'), [text]);
  const flushing = flushWriteBehind();
  writeBehind(insertInto('Here'), ['late']);
  const stopped = stopWriteBehind();
  await expect(flushing).rejects.toThrow();
  expect(await stopped).toBe(2);
  expect(await textsOf('Here')).toEqual(['late']);
  await makeTable('Gone');
  expect(await stopWriteBehind()).toBe(0);
});

it('stores no half of a character and no NUL, which libsql can not read', async () => {
  const texts = ['cut \ud83d', '\udd0d cut', 'whole \u{1f50d}', 'a\0b', '\\ud83d as text', "it's"];
  for (const text of texts) writeBehind(insertInto('Here'), [text]);
  await flushWriteBehind();
  expect(await textsOf('Here')).toEqual([
    'cut \ufffd',
    '\ufffd cut',
    'whole \u{1f50d}',
    'a\ufffdb',
    '\\ud83d as text',
    "it's",
  ]);
});
