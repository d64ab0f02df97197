import { FileBody } from '@/api/file-body';
import { type Call, openAiEndpoint, toShown } from '@/api/openai/endpoint';
import { readForm } from '@/api/openai/read-form';
import { jsonReply, queryOf, type Reply } from '@/api/reply';
import { contentOf, deleteFile, findFile, keepUpload, listFiles } from '@/features/files/files';
import { discardIncoming, receiveUpload } from '@/features/files/receive';
import { settings } from '@/features/settings/settings';
import {
  missingFile,
  parseFileListQuery,
  parseUploadFields,
  toDeletedFile,
  toFileList,
  toFileObject,
} from '@/openai/files';

const LIST_PATH = '/v1/files';
/** What a form has around its file. */
const FORM_BYTES = 65_536;
const MAX_FIELDS = 32;
const MAX_FIELD_BYTES = 4_096;

/** `GET` and `POST /v1/files` (contract 7). */
export const files = openAiEndpoint({
  route: LIST_PATH,
  methods: { GET: list, POST: upload },
  logged: false,
});

/** `GET` and `DELETE /v1/files/{id}`. */
export const file = openAiEndpoint({
  route: `${LIST_PATH}/{id}`,
  methods: { GET: retrieve, DELETE: remove },
  logged: false,
});

/** `GET /v1/files/{id}/content`. */
export const fileContent = openAiEndpoint({
  route: `${LIST_PATH}/{id}/content`,
  methods: { GET: content },
  logged: false,
});

async function list({ request, key }: Call): Promise<Reply> {
  const query = parseFileListQuery(queryOf(request));
  const { files: page, hasMore } = await listFiles({ apiKeyId: key.id, ...query });
  return jsonReply(200, toFileList(page, hasMore));
}

async function upload({ request, key }: Call): Promise<Reply> {
  const limits = await settings();
  const form = await readForm(request, {
    files: { file: 1 },
    receive: (pieces) => receiveUpload(pieces, limits),
    discard: discardIncoming,
    maxBytes: limits.maxFileBytes + FORM_BYTES,
    maxFields: MAX_FIELDS,
    maxFieldBytes: MAX_FIELD_BYTES,
  });
  try {
    const fields = parseUploadFields(form.fields);
    const [sent] = form.files;
    if (!sent) throw missingFile();
    const { filename, mimeType } = sent;
    const details = { apiKeyId: key.id, filename, mimeType, ...fields };
    return jsonReply(200, toFileObject(await keepUpload(sent.file, details)));
  } catch (error) {
    await form.discard();
    throw error;
  }
}

async function retrieve({ path, key }: Call): Promise<Reply> {
  return jsonReply(200, toFileObject(await findFile(idOf(path), key.id)));
}

async function remove({ path, key }: Call): Promise<Reply> {
  const id = idOf(path);
  await deleteFile(id, key.id);
  return jsonReply(200, toDeletedFile(id));
}

async function content({ request, path, key, record }: Call): Promise<Reply> {
  const found = await findFile(idOf(path), key.id);
  const source = await contentOf(found);
  const headers = {
    'content-type': found.mimeType,
    'content-length': String(found.bytes),
    // What callers have sent may be a page: it must not run in our origin.
    'content-disposition': `attachment; filename*=UTF-8''${percentEncoded(found.filename)}`,
    'x-content-type-options': 'nosniff',
    // Proxies would pack what is text, and take its length away.
    'cache-control': 'no-store, no-transform',
  };
  if (request.method === 'HEAD') {
    record.finish(200, null);
    return { status: 200, headers, body: null };
  }
  const body = new FileBody(source, { start: 0, end: found.bytes - 1 }, (failure) => {
    if (failure) record.fail(toShown(failure, record.requestId));
    else record.finish(200, null);
  });
  return { status: 200, headers, body };
}

/** The id in a path of `file` or `fileContent`; what can't be decoded is taken as it is. */
function idOf(path: string): string {
  const [id = ''] = path.slice(LIST_PATH.length + 1).split('/');
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

/** As RFC 8187 has it, 3.2.1. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
