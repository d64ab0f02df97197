import { AnswerStream } from './answer-stream';
import type { Directive } from './directive';
import { describedError, replyFailures } from './reply-failures';
import type { Question, Scenario } from './scenario';

/** Scenarios in which a chat call goes wrong, by name. */
export const failures: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  ...[...replyFailures].map(([name, failure]): [string, Scenario] => [
    name,
    async ({ exchange }, directive) => failure(exchange, directive),
  ]),
  ['error-first', errorFirst],
  ['error-after', errorAfter],
  ['skipped-policy', (question) => skip(question, 'CUSTOMER_POLICY_VIOLATION')],
  ['skipped-small-talk', (question) => skip(question, 'NON_ASSIST_SEEKING_QUERY_IGNORED')],
  ['blocked', blocked],
  ['failed', failed],
  ['truncated', truncated],
  ['no-end', noEnd],
  ['malformed', malformed],
  ['stall', stall],
  ['reset-after', resetAfter],
  ['utoken-only', uTokenOnly],
]);

/** The answer of a turn that the server did not want to assist (upstream-protocol 12.3). */
export async function skip({ exchange, session }: Question, reason: string): Promise<void> {
  await new AnswerStream(exchange, session).finish('SKIPPED', reason);
}

/** `after` or `n` pieces of text, then whatever the caller does with the stream. */
async function startWell(
  { exchange, session, pieceDelayMs }: Question,
  directive: Directive,
  defaultPieces: number,
): Promise<AnswerStream> {
  const stream = new AnswerStream(exchange, session);
  const total = directive.number('after', directive.number('n', defaultPieces));
  const pauseMs = directive.number('ms', pieceDelayMs);
  if (total === 0) stream.begin();
  for (let number = 1; number <= total; number += 1) {
    await stream.text(`piece ${number} `);
    if (pauseMs > 0) await exchange.sleep(pauseMs);
  }
  return stream;
}

async function errorFirst({ exchange, session }: Question, directive: Directive): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  await stream.value(describedError(directive));
  stream.close();
}

async function errorAfter(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 1);
  await stream.value(describedError(directive));
  stream.close();
}

/** The workspace's policy stops the answer (upstream-protocol 12.3). */
async function blocked(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 0);
  const policyResults = [{ bannedPhraseEnforcementResult: { bannedPhrases: ['banned'] } }];
  const customerPolicyEnforcementResult = { verdict: 'BLOCK', policyResults };
  const answer = { state: 'SUCCEEDED', customerPolicyEnforcementResult };
  await stream.value({ streamAssistResponse: { answer, sessionInfo: {} } });
  stream.close();
}

async function failed(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 0);
  await stream.finish('FAILED');
}

/** The body ends in the regular HTTP way, but in the middle of an element. */
async function truncated(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 1);
  await stream.raw('{\n  "streamAssistResponse": {\n    "answer": {\n      "state": "IN_PROG');
  question.exchange.end();
}

/** A whole array, only the terminal state is missing. */
async function noEnd(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 1);
  stream.close();
}

async function malformed(question: Question, directive: Directive): Promise<void> {
  const stream = await startWell(question, directive, 1);
  await stream.raw(
    '{\n  "streamAssistResponse": { "answer": { "state": IN_PROGRESS, "replies" } }\n}',
  );
  stream.close();
}

async function stall(question: Question, directive: Directive): Promise<void> {
  await startWell(question, directive, 1);
  await question.exchange.closed;
}

async function resetAfter(question: Question, directive: Directive): Promise<void> {
  await startWell(question, directive, 1);
  await question.exchange.reset();
}

async function uTokenOnly({ exchange, session }: Question): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  await stream.value({ uToken: session.account.uToken });
  stream.close();
}
