import { AnswerStream } from './answer-stream';
import { lastWords } from './answers';
import { Directive, findDirective } from './directive';
import { skip } from './failures';
import { chatScenario } from './faults';
import { type GoogleError, googleError } from './google-error';
import { asRecord, asString } from './json-value';
import { neededKinds } from './quotas';
import type { Question } from './scenario';
import { ownSession, type WidgetCall } from './session-calls';
import { turnFileOf } from './session-files';
import type { StandInSession, Turn, TurnFile } from './sessions';

const greeting =
  /^(hi|hello|hey|good (morning|evening)|thanks|thank you|你好|您好|谢谢)[\s!.?！。？]*$/i;

/** widgetStreamAssist: checks the question, remembers it, plays a scenario as answer. */
export async function streamAssist(call: WidgetCall): Promise<void> {
  const { exchange, state, account, request } = call;
  countOpenStream(call);
  const session = ownSession(call, asString(request.session) ?? '');
  if (session === null) return;
  const prompt = promptOf(request);
  const modelId = asString(asRecord(request.assistGenerationConfig).modelId);
  const directive =
    account.takeFault('streamAssist') ??
    usedUp(call) ??
    directiveOf(prompt) ??
    new Directive(defaultScenario(request.toolsSpec));
  const turn: Turn = {
    ...{ at: exchange.at, account: account.name, prompt, modelId, scenario: directive.name },
    ...{ reply: '', files: filesOf(call, session), generated: [], request },
  };
  state.sessions.remember(session, turn, state.clock.now());
  if (prompt.length > state.promptLimitCharacters) {
    return exchange.json(400, googleError(400, null, 'PROMPT_TOO_LARGE'));
  }
  const models = account.models ?? state.models;
  const refusal = requestError(prompt, modelId, models) ?? fileError(request, turn);
  if (refusal !== null) return sendInStream(call, session, refusal);
  const { lockstep, files, pieceDelayMs } = state;
  const question: Question = { exchange, session, prompt, lockstep, files, turn, pieceDelayMs };
  if (request.assistSkippingMode !== 'REQUEST_ASSIST' && greeting.test(lastWords(prompt))) {
    return skip(question, 'NON_ASSIST_SEEKING_QUERY_IGNORED');
  }
  await chatScenario(directive.name)?.(question, directive);
}

function directiveOf(prompt: string): Directive | null {
  return findDirective(prompt, (name) => chatScenario(name) !== null);
}

/** Without an order a question that may do nothing but draw or film gets what it asks for. */
function defaultScenario(toolsSpec: unknown): string {
  const kinds = neededKinds(toolsSpec);
  if (kinds.includes('images')) return 'image';
  return kinds.includes('videos') ? 'video' : 'echo';
}

function fileIdsOf(request: Record<string, unknown>): string[] {
  return Array.isArray(request.fileIds) ? request.fileIds.map(String) : [];
}

function filesOf({ state, request }: WidgetCall, session: StandInSession): TurnFile[] {
  const found = fileIdsOf(request).map((fileId) => state.files.find(session, fileId));
  return found.filter((file) => file !== null).map(turnFileOf);
}

/** The refusal of a question for which the day's quota is used up. */
function usedUp({ exchange, account, request }: WidgetCall): Directive | null {
  const { quotas } = account;
  const kinds = neededKinds(request.toolsSpec);
  if (kinds.every((kind) => quotas.left(kind, exchange.nowMs) > 0)) return null;
  const reason: [string, string][] = quotas.reason === null ? [] : [['reason', quotas.reason]];
  return new Directive('http', new Map([['status', '429'], ...reason]));
}

function promptOf(request: Record<string, unknown>): string {
  const { parts } = asRecord(request.query);
  if (!Array.isArray(parts)) return '';
  return parts.map((part) => asString(asRecord(part).text) ?? '').join('');
}

function requestError(
  prompt: string,
  modelId: string | null,
  models: ReadonlySet<string>,
): GoogleError | null {
  if (prompt === '') return googleError(400, 'Query must not be empty.');
  const isKnown = modelId === null || models.has(modelId);
  return isKnown ? null : googleError(400, `Unknown model: ${modelId}`);
}

/** A file belongs to its session (upstream-protocol 13.3). */
function fileError(request: Record<string, unknown>, turn: Turn): GoogleError | null {
  const known = new Set(turn.files.map(({ fileId }) => fileId));
  const fileId = fileIdsOf(request).find((id) => !known.has(id));
  return fileId === undefined ? null : googleError(404, `File with ID "${fileId}" is not found.`);
}

async function sendInStream(
  { exchange }: WidgetCall,
  session: StandInSession,
  error: GoogleError,
): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  await stream.value(error);
  stream.close();
}

function countOpenStream({ exchange, state, account }: WidgetCall): void {
  account.chatOpened(exchange.closed);
  state.openStreams += 1;
  exchange.closed.then(() => {
    state.openStreams -= 1;
  });
}
