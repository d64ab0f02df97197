import { envelopeOf, type GeminiIdentity } from './api';
import { base64Length, encodeBase64 } from './base64-stream';

/** What is uploaded. */
export interface UploadContent {
  /** Its exact length. */
  bytes: number;
  /** Its pieces, from the beginning; may be called again. */
  open(): AsyncIterable<Uint8Array>;
}

/** A file on its way to the upstream. */
export interface FileUpload {
  /** As `createSession` gave it; the file is known there only. */
  sessionName: string;
  fileName: string;
  mimeType: string;
  content: UploadContent;
}

/** The body of an upload. */
export interface UploadBody {
  pieces: AsyncIterable<Uint8Array>;
  bytes: number;
  /** Tells after a failure whether it was the content's own. */
  source: { readonly failure: { cause: unknown } | null };
}

/** The JSON of an upload (protocol 13.1), made while it is sent: a file is never whole in memory. */
export function uploadBody(
  identity: GeminiIdentity,
  { sessionName, fileName, mimeType, content }: FileUpload,
): UploadBody {
  const addContextFileRequest = { name: sessionName, fileName, mimeType, fileContents: '' };
  const text = JSON.stringify(envelopeOf(identity, { addContextFileRequest }));
  // The content stands last, so that this is all that follows it.
  const tail = Buffer.from('"}}');
  const head = Buffer.from(text.slice(0, -tail.length));
  const source = new UploadSource(content);
  return {
    pieces: joined(head, encodeBase64(source), tail),
    bytes: head.length + base64Length(content.bytes) + tail.length,
    source,
  };
}

async function* joined(
  head: Buffer,
  middle: AsyncIterable<Buffer>,
  tail: Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  yield head;
  yield* middle;
  yield tail;
}

/** A content that is held to its length, and whose own failure can be told from the network's. */
class UploadSource implements AsyncIterable<Uint8Array> {
  failure: { cause: unknown } | null = null;
  readonly #content: UploadContent;

  constructor(content: UploadContent) {
    this.#content = content;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const { bytes } = this.#content;
    let readBytes = 0;
    try {
      for await (const piece of this.#content.open()) {
        readBytes += piece.byteLength;
        if (readBytes > bytes) throw new Error(`The content has more than its ${bytes} bytes`);
        yield piece;
      }
      if (readBytes < bytes) throw new Error(`The content has ${readBytes} of its ${bytes} bytes`);
    } catch (cause) {
      this.failure = { cause };
      throw cause;
    }
  }
}
