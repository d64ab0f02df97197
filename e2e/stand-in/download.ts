import type { StandInAccount } from './accounts';
import { base64Length, base64Pieces, inSlices } from './content';
import type { Directive } from './directive';
import type { Exchange } from './exchange';
import { googleError } from './google-error';
import { identify } from './jwt';
import { replyFailures } from './reply-failures';
import { ownSession } from './session-calls';
import type { MediaAddress, SessionFile } from './session-files';
import { fullName } from './sessions';
import type { StandInState } from './state';

const pathPattern = /^(\/download)?\/v1alpha\/(projects\/.+):downloadFile$/;
const mediaPrefix = '/__media/';
const sliceBytes = 64 * 1024;
const slowSlices = 8;

/** True for a scenario that the download can be told to play. */
export function isDownloadFault(name: string): boolean {
  return replyFailures.has(name) || name === 'silence' || name === 'file';
}

/**
 * Both forms of the download, which answer by a redirect, and the second address
 * (upstream-protocol 15). False when the path is none of theirs.
 */
export async function handleDownload(exchange: Exchange, state: StandInState): Promise<boolean> {
  if (exchange.request.method !== 'GET') return false;
  if (exchange.path.startsWith(mediaPrefix)) {
    await answerMedia(exchange, state);
    return true;
  }
  const match = pathPattern.exec(exchange.path);
  if (match === null) return false;
  const { authorization } = exchange.request.headers;
  const identity = identify(authorization, state.keys, state.accounts, state.clock.now());
  const { account, refusal } = identity;
  await state.arrive(exchange, 'downloadFile', account, { refusal });
  if (account === null || refusal !== null) exchange.json(401, googleError(401));
  else await answerDownload(exchange, state, account, match[2] ?? '', match[1] !== undefined);
  return true;
}

async function answerDownload(
  exchange: Exchange,
  state: StandInState,
  account: StandInAccount,
  sessionName: string,
  hasPrefix: boolean,
): Promise<void> {
  const fault = account.takeFault('downloadFile');
  const failure = replyFailures.get(fault?.name ?? '');
  if (fault !== null && failure !== undefined) return failure(exchange, fault);
  if (fault?.name === 'silence') await exchange.sleep(fault.number('ms', 1000));
  const session = ownSession({ exchange, state, account, request: {} }, sessionName);
  if (session === null) return;
  const fileId = exchange.query.get('fileId') ?? '';
  const file = sessionName === fullName(session) ? state.files.find(session, fileId) : null;
  if (file === null) return sendNotFound(exchange, fileId);
  const order = fault === null ? file.order : fault.over(file.order);
  if (order.text('only') === 'download-prefix' && !hasPrefix) return sendNotFound(exchange, fileId);
  if (exchange.query.get('alt') !== 'media') return exchange.send(200, file.mimeType, '');
  file.timesDownloaded += 1;
  const isReady = file.timesDownloaded > order.number('not-ready', 0);
  if (!isReady || file.content === null) return sendNotFound(exchange, fileId);
  if (order.flag('stub')) return exchange.json(200, { fileId, name: file.fileName });
  const token = state.files.addressOf({ file, order, cutAtBytes: cutAt(file, order, fault) });
  const location =
    order.text('redirect') ?? `${otherOrigin(exchange.origin)}${mediaPrefix}${token}`;
  exchange.send(302, 'text/html; charset=utf-8', '', { location });
}

/** The same server under its other name, which is another host to whoever follows the redirect. */
function otherOrigin(origin: string): string {
  const url = new URL(origin);
  url.hostname = url.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
  return url.origin;
}

/** A fault cuts every download that it spoils, the file's own directive the first `cuts`. */
function cutAt(file: SessionFile, order: Directive, fault: Directive | null): number {
  const cutAtBytes = order.number('cut', Number.POSITIVE_INFINITY);
  if (fault?.text('cut')) return cutAtBytes;
  const ready = file.timesDownloaded - order.number('not-ready', 0);
  return ready <= order.number('cuts', 1) ? cutAtBytes : Number.POSITIVE_INFINITY;
}

/** The second address is another host in the real world: whoever shows it the bearer is refused. */
async function answerMedia(exchange: Exchange, state: StandInState): Promise<void> {
  const media = state.files.atAddress(exchange.path.slice(mediaPrefix.length));
  const hasBearer = exchange.request.headers.authorization !== undefined;
  const refusal = hasBearer ? 'authorization was sent to the second address' : null;
  await state.arrive(exchange, 'media', media?.file.session.account ?? null, { refusal });
  if (refusal !== null) exchange.json(400, googleError(400, refusal));
  else if (media === null) exchange.json(404, googleError(404));
  else await sendBytes(exchange, media);
}

async function sendBytes(exchange: Exchange, media: MediaAddress): Promise<void> {
  const { file, order, cutAtBytes } = media;
  const content = file.content ?? { bytes: 0, pieces: () => [] };
  const saysBase64 = order.flag('base64');
  const isBase64 = saysBase64 || order.flag('base64-silent');
  const length = isBase64 ? base64Length(content.bytes) : content.bytes;
  exchange.begin(200, isBase64 ? 'text/plain' : file.mimeType, {
    'content-length': length,
    ...(saysBase64 && {
      'x-goog-safety-encoding': 'base64',
      'x-goog-safety-content-type': file.mimeType,
    }),
  });
  const pieces = isBase64 ? base64Pieces(content.pieces()) : content.pieces();
  await writeBody(exchange, pieces, length, cutAtBytes, order.number('slow', 0));
}

/** Writes piece by piece as fast as the client reads, with a pause of `slowMs` in between. */
async function writeBody(
  exchange: Exchange,
  pieces: Iterable<Buffer>,
  length: number,
  cutAtBytes: number,
  slowMs: number,
): Promise<void> {
  const slice =
    slowMs > 0 ? Math.min(sliceBytes, Math.max(1, Math.ceil(length / slowSlices))) : sliceBytes;
  let written = 0;
  exchange.flushHead();
  for (const piece of inSlices(pieces, slice)) {
    if (written >= cutAtBytes) break;
    if (slowMs > 0 && written > 0) await exchange.sleep(slowMs);
    if (exchange.gone) return;
    exchange.write(piece.subarray(0, cutAtBytes - written));
    written += piece.length;
    await exchange.drained();
  }
  if (cutAtBytes < length) await exchange.reset();
  else exchange.end();
}

function sendNotFound(exchange: Exchange, fileId: string): void {
  exchange.json(404, googleError(404, `File with ID "${fileId}" is not found.`));
}
