import { expect, it } from 'vitest';
import {
  missingFile,
  parseFileListQuery,
  parseUploadFields,
  toDeletedFile,
  toFileList,
  toFileObject,
} from '@/openai/files';

const description = {
  id: 'file-1',
  bytes: 3,
  createdAtMs: 1_700_000_000_999,
  expiresAtMs: null,
  filename: 'a.txt',
  purpose: 'user_data',
  mimeType: 'text/plain',
  apiKeyId: 'key',
};

it('writes a file, with its end only if it has one', () => {
  const object = {
    id: 'file-1',
    object: 'file',
    bytes: 3,
    created_at: 1_700_000_000,
    filename: 'a.txt',
    purpose: 'user_data',
    status: 'processed',
  };
  expect(toFileObject(description)).toEqual(object);
  expect(toFileObject({ ...description, expiresAtMs: 1_700_003_600_999 })).toEqual({
    ...object,
    expires_at: 1_700_003_600,
  });
  expect(toDeletedFile('file-1')).toEqual({ id: 'file-1', object: 'file', deleted: true });
});

it('writes a list with the ids of its ends', () => {
  const empty = { object: 'list', data: [], first_id: null, last_id: null, has_more: false };
  expect(toFileList([], false)).toEqual(empty);
  const list = toFileList([description, { ...description, id: 'file-2' }], true);
  expect(list).toMatchObject({ first_id: 'file-1', last_id: 'file-2', has_more: true });
});

function list(query: string) {
  return parseFileListQuery(new URLSearchParams(query));
}

it('reads the query of a list', () => {
  const usual = { limit: 10_000, order: 'desc', after: null, purpose: null };
  expect(list('')).toEqual(usual);
  expect(list('limit=&order=&after=&purpose=&other=1')).toEqual(usual);
  expect(list('limit=2&order=asc&after=file-01ABC&purpose=batch_output')).toEqual({
    limit: 2,
    order: 'asc',
    after: 'file-01ABC',
    purpose: 'batch_output',
  });
});

it.each([
  ['limit', ['0', '-1', '10001', '1.5', 'many', 'Infinity']],
  ['order', ['up', 'ASC']],
  ['after', ['x', 'file-', 'file-../x', 'file-%00']],
  ['purpose', ['other']],
])('refuses a list with a wrong %s', (param, values) => {
  for (const value of values) {
    expect(() => list(`${param}=${value}`)).toThrow(expect.objectContaining({ param }));
  }
});

function upload(fields: Record<string, string>) {
  return parseUploadFields(new Map(Object.entries(fields)));
}

it('reads the fields of an upload', () => {
  expect(upload({ purpose: 'fine-tune', other: 'x' })).toEqual({
    purpose: 'fine-tune',
    expiresAfterSeconds: null,
  });
  const expiry = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '3600' };
  expect(upload({ purpose: 'vision', ...expiry })).toEqual({
    purpose: 'vision',
    expiresAfterSeconds: 3_600,
  });
});

it.each([
  ['purpose', {}],
  ['purpose', { purpose: 'other' }],
  ['purpose', { purpose: 'batch_output' }],
  ['expires_after.anchor', { 'expires_after[seconds]': '3600' }],
  ['expires_after.anchor', { 'expires_after[anchor]': 'x', 'expires_after[seconds]': '3600' }],
  ['expires_after.seconds', { 'expires_after[anchor]': 'created_at' }],
  ...['3599', '2592001', 'x', '', '3600.5'].map((seconds): [string, Record<string, string>] => [
    'expires_after.seconds',
    { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': seconds },
  ]),
])('refuses an upload with a wrong %s: %j', (param, fields) => {
  const all = param === 'purpose' ? fields : { purpose: 'vision', ...fields };
  expect(() => upload(all as Record<string, string>)).toThrow(expect.objectContaining({ param }));
});

it('names the file that is missing', () => {
  expect(missingFile()).toMatchObject({ code: 'invalid_request', param: 'file' });
});
