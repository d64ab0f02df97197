import { expect, it } from 'vitest';
import { fileTypeOfBytes, fileTypeOfFile } from '@/platform/file-type';

it('tells what content shows, and nothing of what misleads its parser', async () => {
  const gif = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64');
  expect(await fileTypeOfBytes(gif)).toMatchObject({ mime: 'image/gif', ext: 'gif' });
  expect(await fileTypeOfFile(import.meta.filename)).toBeNull();
  for (const hex of ['', '1a45dfa3ffffffffffffffff']) {
    expect(await fileTypeOfBytes(Buffer.from(hex, 'hex'))).toBeNull();
  }
});

it('fails where the disk does', async () => {
  await expect(fileTypeOfFile('nothing-here')).rejects.toMatchObject({ code: 'ENOENT' });
});
