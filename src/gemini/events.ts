import { type CitationsEvent, citationsOf } from './citations';
import { classifyErrorObject, GeminiError } from './errors';
import { type Fields, isFields, maxFileIdLength, mediaTypeOf, textOf } from './fields';

/** What an answer says, piece by piece. `end` comes once, last, and only after a good turn. */
export type GeminiEvent =
  | { type: 'text'; text: string }
  | { type: 'thought'; text: string }
  /** A generated file; the same one may be named several times (protocol 12.5). */
  | { type: 'file'; fileId: string; mimeType: string }
  /** A generated file as part of the answer itself; the base64 is as it came. */
  | { type: 'inline_file'; mimeType: string; base64: string }
  /** The web pages of a reply; right after its text. */
  | CitationsEvent
  /** `sessionName` is the full one (protocol 8.2), where the last element tells it. */
  | { type: 'end'; state: 'SUCCEEDED'; sessionName: string | null };

const policy = 'CUSTOMER_POLICY_VIOLATION';
const unknownType = 'application/octet-stream';

/**
 * Appends to `out` what one element of the reply says (protocol 12). Unknown fields, empty content
 * and values of an unexpected type are skipped. Text of an element that also reports a failure is
 * in `out` when this throws.
 *
 * @throws GeminiError by `classifyErrorObject` for an error element; `request` when the workspace's
 *   policy blocked the turn; `upstream` for the states FAILED, CANCELLED and other SKIPPED.
 */
export function eventsOfElement(element: unknown, out: GeminiEvent[]): void {
  if (!isFields(element)) return;
  if (isFields(element.error)) throw classifyErrorObject(element.error);
  const response = element.streamAssistResponse;
  if (!isFields(response)) return;
  const { answer } = response;
  if (!isFields(answer)) return;
  if (Array.isArray(answer.replies)) {
    for (const reply of answer.replies) addReply(reply, out);
  }
  checkPolicy(answer);
  addState(answer, response.sessionInfo, out);
}

/** Whether the element carries a piece of an answer, however empty. */
export function hasAnswer(element: unknown): boolean {
  return isFields(element) && isFields(element.streamAssistResponse);
}

/** Whether the element carries a renewed token: alone, it means a refused credential (protocol 12.1). */
export function hasRenewedToken(element: unknown): boolean {
  return isFields(element) && typeof element.uToken === 'string';
}

function addReply(reply: unknown, out: GeminiEvent[]): void {
  if (!isFields(reply) || !isFields(reply.groundedContent)) return;
  const { content, textGroundingMetadata } = reply.groundedContent;
  const isThought = reply.thought === true || (isFields(content) && content.thought === true);
  const first = out.length;
  if (isFields(content)) addContent(content, isThought, out);
  // What thoughts rest on is not shown, and its places are those of a text that is not the answer's.
  if (isThought || textGroundingMetadata === undefined) return;
  const replyText = out.slice(first).map((event) => (event.type === 'text' ? event.text : ''));
  const citations = citationsOf(textGroundingMetadata, replyText.join(''));
  if (citations) out.push(citations);
}

function addContent(content: Fields, isThought: boolean, out: GeminiEvent[]): void {
  addText(content.text, isThought, out);
  addFile(content.file, out);
  addInlineFile(content.inlineData, out);
  if (!Array.isArray(content.parts)) return;
  for (const part of content.parts) {
    if (!isFields(part)) continue;
    addText(part.text, isThought || part.thought === true, out);
    addFile(part.file, out);
    addInlineFile(part.inlineData, out);
  }
}

function addText(text: unknown, isThought: boolean, out: GeminiEvent[]): void {
  if (typeof text !== 'string' || text === '') return;
  out.push({ type: isThought ? 'thought' : 'text', text });
}

function addFile(file: unknown, out: GeminiEvent[]): void {
  if (!isFields(file)) return;
  const fileId = textOf(file.fileId, maxFileIdLength);
  if (fileId === null) return;
  out.push({ type: 'file', fileId, mimeType: mediaTypeOf(file.mimeType) ?? unknownType });
}

function addInlineFile(inlineData: unknown, out: GeminiEvent[]): void {
  if (!isFields(inlineData)) return;
  const { mimeType, data } = inlineData;
  if (typeof data !== 'string' || data === '') return;
  out.push({ type: 'inline_file', mimeType: mediaTypeOf(mimeType) ?? unknownType, base64: data });
}

function checkPolicy(answer: Fields): void {
  const enforcement = answer.customerPolicyEnforcementResult;
  const isBlocked = isFields(enforcement) && enforcement.verdict === 'BLOCK';
  const isSkipped =
    answer.state === 'SKIPPED' &&
    Array.isArray(answer.assistSkippedReasons) &&
    answer.assistSkippedReasons.includes(policy);
  if (isBlocked || isSkipped) {
    throw new GeminiError('request', "The workspace's policy blocked the prompt", {
      reason: policy,
    });
  }
}

function addState(answer: Fields, sessionInfo: unknown, out: GeminiEvent[]): void {
  switch (answer.state) {
    case 'SUCCEEDED': {
      const sessionName = isFields(sessionInfo) ? textOf(sessionInfo.session) : null;
      out.push({ type: 'end', state: 'SUCCEEDED', sessionName });
      return;
    }
    case 'FAILED':
    case 'CANCELLED':
      throw new GeminiError('upstream', `The turn ended in state ${answer.state}`, {
        reason: 'FAILED',
      });
    case 'SKIPPED':
      throw new GeminiError('upstream', 'The upstream skipped the prompt as small talk', {
        reason: 'NON_ASSIST_SEEKING_QUERY_IGNORED',
      });
  }
}
