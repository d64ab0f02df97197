import { createHash } from 'node:crypto';
import { contentOf } from './content';
import { Directive } from './directive';
import { googleError } from './google-error';
import { asString } from './json-value';
import { replyFailures } from './reply-failures';
import { ownSession, type WidgetCall } from './session-calls';
import { fullName } from './sessions';

/** The bytes of smaller files are kept, so that a test can compare them. */
const maxKeptBytes = 1024 * 1024;
const charactersPerToken = 4;
const tokensOfPicture = 258;

const mimePattern = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/;
const archives = /^application\/(?:(?:x-)?rar(?:-compressed)?|vnd\.rar|x-7z-compressed)$/i;
const knownPrivate =
  /^application\/x-(?:yaml|javascript|typescript|sh|shellscript|python|python-code|php|httpd-php|ruby|perl|ndjson|tex|latex|ipynb\+json)$/i;

/** True for a scenario that the upload can be told to play. */
export function isUploadFault(name: string): boolean {
  return replyFailures.has(name) || name === 'silence' || name === 'no-id';
}

/** widgetAddContextFile: takes a file into a session of the account (upstream-protocol 13). */
export async function addContextFile(call: WidgetCall): Promise<void> {
  const { exchange, state, account, request } = call;
  const fault = account.takeFault('addContextFile');
  const failure = replyFailures.get(fault?.name ?? '');
  if (fault !== null && failure !== undefined) return failure(exchange, fault);
  if (fault?.name === 'no-id') return exchange.json(200, { addContextFileResponse: {} });
  if (fault?.name === 'silence') await exchange.sleep(fault.number('ms', 1000));
  const session = ownSession(call, asString(request.name) ?? '');
  if (session === null) return;
  const mimeType = asString(request.mimeType) ?? '';
  const bytes = decodeBase64(asString(request.fileContents) ?? '');
  const refusal = refusalOf(mimeType, bytes, state.fileLimitBytes);
  if (bytes === null || refusal !== null) return exchange.json(400, googleError(400, refusal));
  const file = state.files.add(state.files.newId(), {
    session,
    origin: 'USER_UPLOADED',
    fileName: asString(request.fileName) ?? '',
    mimeType,
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    uploadedAt: exchange.nowMs,
    content: bytes.length <= maxKeptBytes ? contentOf(bytes) : null,
    order: new Directive('upload'),
  });
  const { fileId } = file;
  const tokenCount = String(tokensOf(mimeType, bytes.length));
  const addContextFileResponse = { fileId, session: fullName(session), tokenCount };
  exchange.json(200, { addContextFileResponse, uToken: account.uToken });
}

/** About what the service would count. */
export function tokensOf(mimeType: string, bytes: number): number {
  return mimeType.startsWith('image/') ? tokensOfPicture : Math.ceil(bytes / charactersPerToken);
}

function refusalOf(mimeType: string, bytes: Buffer | null, limitBytes: number): string | null {
  if (bytes === null) return 'Invalid value at fileContents: Base64 decoding failed.';
  if (!isSupported(mimeType)) return `Unsupported file type: ${mimeType}`;
  if (bytes.length === 0) return 'File must not be empty.';
  return bytes.length > limitBytes ? `File size exceeds the limit of ${limitBytes} bytes.` : null;
}

function isSupported(mimeType: string): boolean {
  if (!mimePattern.test(mimeType) || archives.test(mimeType)) return false;
  return !/^application\/x-/i.test(mimeType) || knownPrivate.test(mimeType);
}

/** Null for anything but standard base64 with its padding. A pattern would fail on 100 MB. */
function decodeBase64(text: string): Buffer | null {
  if (text.length % 4 !== 0 || text.includes('-') || text.includes('_')) return null;
  const firstPad = text.indexOf('=');
  const padding = firstPad === -1 ? 0 : text.length - firstPad;
  if (padding > 2 || (padding === 2 && !text.endsWith('=='))) return null;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === (text.length / 4) * 3 - padding ? bytes : null;
}
