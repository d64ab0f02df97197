import { afterAll, beforeAll, expect, it } from 'vitest';
import { readAttachmentForm } from '@/api/openai/attachment-form';
import { BodyShare } from '@/api/openai/body-budget';
import { fileRoom } from '@/features/files/room';
import { openDataFolder } from '@/features/settings/data-folder';
import { updateSettings } from '@/features/settings/settings';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

const MIB = 1_048_576;

beforeAll(async () => {
  await openDataFolder();
  await updateSettings({ maxFileBytes: 4 * MIB });
});
afterAll(async () => {
  stopCachedTables();
  await closeDatabase();
});

function read(fields: [string, string | Blob][]) {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  const request = new Request('http://127.0.0.1/', { method: 'POST', body });
  return readAttachmentForm(request, { image: 16, mask: 1 }, new BodyShare());
}

const picture = (bytes: number) => new Blob([Buffer.alloc(bytes)], { type: 'image/png' });

it('holds room for its files until it is discarded', async () => {
  const prompt = 'x'.repeat(300_000);
  const form = await read([
    ['prompt', prompt],
    ['image', picture(MIB)],
    ['mask', picture(1_000)],
  ]);
  expect(form.fields.get('prompt')).toBe(prompt);
  expect(form.of('image')).toMatchObject([{ byteCount: MIB }]);
  expect(await fileRoom()).toMatchObject({ incomingBytes: MIB + 1_000 });
  await form.discard();
  await form.discard();
  expect(await fileRoom()).toMatchObject({ incomingBytes: 0, waiting: new Map() });
});

it('may have no more of files together than of one, and few fields', async () => {
  const many = Array.from({ length: 16 }, (): [string, Blob] => ['image', picture(MIB / 2)]);
  await expect(read(many)).rejects.toMatchObject({ code: 'payload_too_large' });
  const fields = Array.from({ length: 21 }, (_, number): [string, string] => [`f${number}`, 'x']);
  await expect(read(fields)).rejects.toMatchObject({ code: 'invalid_request' });
  await expect(read([['f', 'x'.repeat(131_073)]])).rejects.toMatchObject({ param: 'f' });
  expect(await fileRoom()).toMatchObject({ incomingBytes: 0, waiting: new Map() });
});
