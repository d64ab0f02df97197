import type { IncomingHttpHeaders } from 'node:http';
import type { StandInAccount } from './accounts';
import type { CallName } from './call-log';
import { streamAssist } from './chat';
import type { Exchange } from './exchange';
import { listSessionFiles } from './file-list-call';
import { googleError } from './google-error';
import { asRecord, parseJson } from './json-value';
import { identify } from './jwt';
import { createSession, deleteSession, listSessions, type WidgetCall } from './session-calls';
import type { StandInState } from './state';
import { addContextFile } from './upload-call';

/** The log keeps no longer body of an upload. */
const maxKeptUploadCharacters = 64 * 1024;
const prefix = '/v1alpha/locations/global/widget';

interface Verb {
  call: CallName;
  /** The field of the envelope that carries the request. */
  field: string;
  handle: (call: WidgetCall) => void | Promise<void>;
}

const verbs: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  ['StreamAssist', { call: 'streamAssist', field: 'streamAssistRequest', handle: streamAssist }],
  [
    'CreateSession',
    { call: 'createSession', field: 'createSessionRequest', handle: createSession },
  ],
  [
    'DeleteSession',
    { call: 'deleteSession', field: 'deleteSessionRequest', handle: deleteSession },
  ],
  ['ListSessions', { call: 'listSessions', field: 'listSessionsRequest', handle: listSessions }],
  [
    'AddContextFile',
    { call: 'addContextFile', field: 'addContextFileRequest', handle: addContextFile },
  ],
  [
    'ListSessionFileMetadata',
    {
      call: 'listSessionFiles',
      field: 'listSessionFileMetadataRequest',
      handle: listSessionFiles,
    },
  ],
]);

/** The API host: bearer, envelope, then the call itself. False when the path is none of its own. */
export async function handleWidget(exchange: Exchange, state: StandInState): Promise<boolean> {
  if (!exchange.path.startsWith(prefix)) return false;
  const verb = verbs.get(exchange.path.slice(prefix.length));
  const bodyText = await exchange.readBody();
  const { headers } = exchange.request;
  const now = state.clock.now();
  const identity = identify(headers.authorization, state.keys, state.accounts, now);
  const body = asRecord(parseJson(bodyText));
  const refusal = identity.refusal ?? envelopeRefusal(body, identity.account);
  const missingHeaders = missing(headers);
  const isLargeUpload =
    verb?.call === 'addContextFile' && bodyText.length > maxKeptUploadCharacters;
  const details = { refusal, bodyText: isLargeUpload ? null : bodyText, missingHeaders };
  await state.arrive(exchange, verb?.call ?? 'other', identity.account, details);
  if (identity.account === null || identity.refusal !== null || refusal === 'configId is foreign') {
    exchange.json(401, googleError(401));
  } else if (verb === undefined || exchange.request.method !== 'POST') {
    exchange.json(404, googleError(404, `Method not found: ${exchange.path}`));
  } else if (refusal !== null) {
    exchange.json(400, googleError(400, refusal));
  } else {
    const request = asRecord(body[verb.field]);
    await verb.handle({ exchange, state, account: identity.account, request });
  }
  return true;
}

function envelopeRefusal(
  body: Record<string, unknown>,
  account: StandInAccount | null,
): string | null {
  if (body.configId !== account?.teamId) return 'configId is foreign';
  return asRecord(body.additionalParams).token === '-' ? null : 'additionalParams.token is not -';
}

function missing(headers: IncomingHttpHeaders): string[] {
  const names: string[] = [];
  if (!headers['content-type']?.startsWith('application/json')) names.push('content-type');
  if (headers.origin === undefined) names.push('origin');
  if (headers.referer === undefined) names.push('referer');
  return names;
}
