import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import type { BodyShare } from '@/api/openai/body-budget';
import { discard, encodingOf, lengthOf, nextPiece, tooLarge } from '@/api/openai/body-reader';
import { AppError, excerpt, isAppError } from '@/platform/errors';
import type { IncomingFile } from '@/platform/incoming-file';

/** What a form tells of a file, as the caller wrote it; `mimeType` is `text/plain` if it tells none. */
interface FileInfo {
  field: string;
  /** May be empty, a path or anything else. */
  filename: string;
  mimeType: string;
}

/** A file that came with a form, and is on disk. */
interface FormFile extends FileInfo {
  file: IncomingFile;
}

export interface Form {
  /** Of a field that came twice the last value. */
  fields: Map<string, string>;
  /** In the order in which they came. */
  files: FormFile[];
  /** Removes all files, unless they were taken elsewhere. Safe to call again. */
  discard(): Promise<void>;
}

export interface FormOptions {
  /** The fields that may be files, and how many each; other files are ignored. */
  files: Record<string, number>;
  /** Puts the content of a file on disk. */
  receive(content: AsyncIterable<Uint8Array>, info: FileInfo): Promise<IncomingFile>;
  /** Removes what `receive` gave. Safe to call again. */
  discard(file: IncomingFile): Promise<void>;
  /** Of the whole body. */
  maxBytes: number;
  maxFields: number;
  /** Of the value of one field. */
  maxFieldBytes: number;
  /** Fields that may have more than others. */
  longFields?: Readonly<Record<string, number>>;
  /** Gets the bytes of all fields, which stay in memory. */
  share?: BodyShare;
}

const MAX_HEADER_PAIRS = 32;
const MAX_HEADER_BYTES = 16_384;
/** Files that nobody asked for. */
const MAX_OTHER_PARTS = 32;

/**
 * The form (multipart/form-data, RFC 7578) in the body of `request`; fields and files may come in any
 * order, and files go to disk piece by piece. Of a form that fails nothing stays.
 * @throws AppError `invalid_request`, `rate_limited`, `payload_too_large`, `unsupported_encoding`, `client_left` if the
 *   body broke off; else what `options.receive` throws
 */
export async function readForm(request: Request, options: FormOptions): Promise<Form> {
  if (encodingOf(request) !== '') {
    throw new AppError('unsupported_encoding', 'Send the form without Content-Encoding.');
  }
  if (lengthOf(request) > options.maxBytes) throw tooLarge(options.maxBytes);
  const parser = parserOf(request, options);
  if (!request.body) throw broken('it is empty');
  const reader = request.body.getReader();
  const parts = new Parts(parser, options);
  try {
    await pipeline(piecesOf(request, reader, options.maxBytes), parser);
    const { fields } = parts;
    const files = await parts.files();
    return { fields, files, discard: () => parts.discard() };
  } catch (error) {
    void discard(reader);
    parts.fail(error);
    await parts.discard();
    throw parts.failure ?? error;
  }
}

function parserOf(request: Request, options: FormOptions) {
  const { files, maxFields, maxFieldBytes, longFields = {} } = options;
  const type = request.headers.get('content-type') ?? '';
  if (!/^multipart\/form-data\b/i.test(type)) {
    throw new AppError('invalid_request', 'The body must be a form: multipart/form-data.');
  }
  const maxFiles = Object.values(files).reduce((sum, count) => sum + count, 0);
  try {
    return new Busboy({
      headers: { 'content-type': type },
      // A text without a name is a field, whatever type it has been given.
      isPartAFile: (field, partType, filename) =>
        filename !== undefined ||
        (partType === 'application/octet-stream' && Object.hasOwn(files, field ?? '')),
      preservePath: true,
      limits: {
        fields: maxFields,
        fieldSize: Math.max(maxFieldBytes, ...Object.values(longFields)),
        parts: maxFields + maxFiles + MAX_OTHER_PARTS,
        headerPairs: MAX_HEADER_PAIRS,
        headerSize: MAX_HEADER_BYTES,
      },
    });
  } catch (error) {
    throw broken('its Content-Type names no usable boundary', error);
  }
}

async function* piecesOf(
  request: Request,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let bytes = 0; ; ) {
    const { done, value } = await nextPiece(request, reader);
    if (done) return;
    bytes += value.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    yield value;
  }
}

/** Gathers what the parser finds. The first failure ends the parser, and so the reading. */
class Parts {
  readonly fields = new Map<string, string>();
  #fieldBytes = 0;
  failure: unknown = null;
  readonly #parser: BusboyInstance;
  readonly #options: FormOptions;
  readonly #counts = new Map<string, number>();
  readonly #contents: Readable[] = [];
  readonly #received: Promise<FormFile>[] = [];

  constructor(parser: BusboyInstance, options: FormOptions) {
    this.#parser = parser;
    this.#options = options;
    parser.on('field', (name, value, _, isCut) => this.#onField(name, value, isCut));
    // Its types promise names that a part may lack.
    parser.on(
      'file',
      (field: string | undefined, content, filename: string | undefined, _, mimeType) => {
        const info = { field: field ?? '', filename: unescaped(filename ?? ''), mimeType };
        this.#onFile(content, info);
      },
    );
    parser.on('fieldsLimit', () => this.fail(broken('it has too many fields')));
    parser.on('partsLimit', () => this.fail(broken('it has too many parts')));
    parser.on('error', (error) => this.fail(isAppError(error) ? error : cutOff(error)));
  }

  /** Ends all that is under way. The first failure is the one that counts. */
  fail(error: unknown): void {
    if (this.failure !== null) return;
    this.failure = error;
    const cause = error instanceof Error ? error : new Error('failed', { cause: error });
    this.#parser.destroy(cause);
    for (const content of this.#contents) content.destroy(cause);
  }

  /** All files, once they are on disk. */
  files(): Promise<FormFile[]> {
    return Promise.all(this.#received);
  }

  async discard(): Promise<void> {
    const settled = await Promise.allSettled(this.#received);
    for (const each of settled) {
      if (each.status === 'fulfilled') await this.#options.discard(each.value.file);
    }
  }

  #onField(name: string | undefined, value: string, isCut: boolean): void {
    if (name === undefined) return;
    const param = excerpt(name);
    const { maxFieldBytes, longFields = {} } = this.#options;
    const long = Object.hasOwn(longFields, name) ? longFields[name] : undefined;
    const isTooLong = isCut || Buffer.byteLength(value) > (long ?? maxFieldBytes);
    if (isTooLong) return void this.fail(broken(`'${param}' is too long`, undefined, param));
    this.fields.set(name, value);
    this.#fieldBytes += Buffer.byteLength(value);
    try {
      this.#options.share?.hold(this.#fieldBytes);
    } catch (error) {
      this.fail(error);
    }
  }

  #onFile(content: BusboyFileStream, info: FileInfo): void {
    // Where a form breaks off within a file that nobody reads, this keeps the process alive.
    content.on('error', () => {});
    const { files, receive } = this.#options;
    const { field } = info;
    const most = Object.hasOwn(files, field) ? (files[field] ?? 0) : 0;
    const count = (this.#counts.get(field) ?? 0) + 1;
    this.#counts.set(field, count);
    if (this.failure !== null || count > most) {
      content.resume();
      const why = `it has more than ${most} file(s) as '${field}'`;
      if (most > 0) this.fail(broken(why, undefined, field));
      return;
    }
    this.#contents.push(content);
    const received = receive(content, info).then((file) => ({ ...info, file }));
    received.catch((error) => this.fail(error));
    this.#received.push(received);
  }
}

/** What browsers and `fetch` put for the characters that would end a name (WHATWG HTML, form data). */
function unescaped(name: string): string {
  return name.replace(/%(22|0D|0A)/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function cutOff(cause: unknown): AppError {
  return broken('it ends too early', cause);
}

function broken(why: string, cause?: unknown, param?: string): AppError {
  return new AppError('invalid_request', `The form can't be read: ${why}.`, { param, cause });
}
