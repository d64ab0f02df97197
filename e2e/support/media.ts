import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { type Pool, query, question } from './pool';

/** The folder of generated media in a data folder. */
export function mediaFolder(dataDir: string): string {
  return path.join(dataDir, 'media');
}

/** The files in the folder of generated media, by their paths within it, without hidden ones. */
export function mediaFiles(dataDir: string): string[] {
  const folder = mediaFolder(dataDir);
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** Each medium has its row and its file, of the same length, and there is no other file. */
export async function expectTidy({ server: { dataDir } }: Pick<Pool, 'server'>): Promise<void> {
  const rows = await query(dataDir, {
    sql: 'SELECT "kind", "name", "bytes" FROM "Media"',
    args: [],
  });
  const files = mediaFiles(dataDir).map((file) => {
    const { size } = fs.statSync(path.join(mediaFolder(dataDir), file));
    return `${file} ${size}`;
  });
  expect(files).toEqual(rows.map(({ kind, name, bytes }) => `${kind}/${name} ${bytes}`).sort());
}

/** The first address in an answer. */
function linkIn(content: string): string {
  return /https?:\/\/[^\s)]+/.exec(content)?.[0] ?? '';
}

/** Has something made by an order for the stand-in; its address. */
export async function makeMedium(pool: Pool, order: string): Promise<string> {
  const { choices } = await pool.client.chat.completions.create({
    model: 'gemini-enterprise',
    messages: question(order),
  });
  return linkIn(choices[0]?.message.content ?? '');
}

/** The SHA-256 of what is at an address, read piece by piece. */
export async function sumAt(address: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of (await fetch(address)).body ?? []) hash.update(piece);
  return hash.digest('hex');
}

/** The SHA-256 of what the upstream has made last. */
export async function lastSum({ standIn }: Pool): Promise<string> {
  const made = standIn.files.all.filter(({ origin }) => origin === 'AI_GENERATED');
  return (await standIn.files.sha256(made.at(-1)?.fileId ?? '')) ?? '';
}
