import type { Directive } from './directive';
import { googleError } from './google-error';
import { asString } from './json-value';
import { replyFailures } from './reply-failures';
import { ownSession, type WidgetCall } from './session-calls';
import type { SessionFile } from './session-files';
import { fullName } from './sessions';
import { tokensOf } from './upload-call';

const filterPattern = /^(?:file_origin_type\s*=\s*)?"?(AI_GENERATED|USER_UPLOADED)"?$/;

/** True for a scenario that the list call can be told to play. */
export function isListFault(name: string): boolean {
  return replyFailures.has(name) || name === 'silence' || name === 'file';
}

/** widgetListSessionFileMetadata: the files of a session (upstream-protocol 14). */
export async function listSessionFiles(call: WidgetCall): Promise<void> {
  const { exchange, state, account, request } = call;
  const fault = account.takeFault('listSessionFiles');
  const failure = replyFailures.get(fault?.name ?? '');
  if (fault !== null && failure !== undefined) return failure(exchange, fault);
  if (fault?.name === 'silence') await exchange.sleep(fault.number('ms', 1000));
  const session = ownSession(call, asString(request.name) ?? '');
  if (session === null) return;
  const filter = (asString(request.filter) ?? '').trim();
  const origin = filterPattern.exec(filter)?.[1] ?? null;
  if (filter !== '' && origin === null) return exchange.json(400, googleError(400));
  const asked = state.files
    .ofSession(session)
    .filter((file) => origin === null || file.origin === origin)
    .map((file) => ({ file, order: fault === null ? file.order : fault.over(file.order) }));
  for (const { file } of asked) file.timesListed += 1;
  if (asked.some(({ order }) => order.flag('no-list'))) return exchange.json(500, googleError(500));
  const fileMetadata = asked.filter(isListed).map(({ file, order }) => metadataOf(file, order));
  exchange.json(200, { listSessionFileMetadataResponse: { fileMetadata }, uToken: account.uToken });
}

function isListed({ file, order }: { file: SessionFile; order: Directive }): boolean {
  return !order.flag('unlisted') && file.timesListed > order.number('not-ready', 0);
}

function metadataOf(file: SessionFile, order: Directive): unknown {
  return {
    fileId: file.fileId,
    name: order.text('name') ?? file.fileName,
    mimeType: order.text('list-mime') ?? file.mimeType,
    session: fullName(file.session),
    byteSize: String(file.bytes),
    tokenCount: String(tokensOf(file.mimeType, file.bytes)),
    uploadTime: new Date(file.uploadedAt).toISOString(),
    fileOriginType: file.origin,
  };
}
