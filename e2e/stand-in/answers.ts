import { setImmediate as nextTick } from 'node:timers/promises';
import { AnswerStream } from './answer-stream';
import type { Directive } from './directive';
import { cutEvenly, textElement } from './framing';
import { groundedAnswer } from './grounded-answer';
import { generateImages, generateVideos, inlineImages, textAndImages } from './media-answers';
import type { Question, Scenario } from './scenario';
import type { Turn } from './sessions';

const pieceCharacters = 12;
const wordsPerPiece = 25;
const benchPieces = new Map<string, string>();

/** Scenarios that end well, by name. */
export const answers: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  ['echo', (question, directive) => deliver(question, directive, echoOf(question))],
  ['files', (question, directive) => deliver(question, directive, listOfFiles(question.turn))],
  ['text', (question, directive) => deliver(question, directive, givenText(directive))],
  ['count', count],
  ['thoughts', thoughts],
  ['thoughts-only', thoughts],
  ['empty', ({ exchange, session }) => new AnswerStream(exchange, session).finish()],
  ['lockstep', lockstep],
  ['silence', silence],
  ['big', big],
  ['split-surrogate', splitSurrogate],
  ['long', long],
  ['bench', bench],
  ['image', generateImages],
  ['video', generateVideos],
  ['text-and-image', textAndImages],
  ['inline-image', inlineImages],
  ['grounded', groundedAnswer],
]);

/** The part of the prompt that a person would call the question: its last line with words in it. */
export function lastWords(prompt: string): string {
  const lines = prompt.slice(-2000).split('\n');
  const isFrame = (line: string) =>
    /^(<\/?[\w-]+>|[[(]?(assistant|model)[\])]?\s*:?)?$/i.test(line);
  const line = lines.map((text) => text.trim()).findLast((text) => !isFrame(text)) ?? '';
  return line.replace(/^(user|human)\s*:\s*/i, '');
}

function echoOf({ prompt, turn }: Question): string {
  const names = turn.files.map(({ fileName }) => fileName).join(', ');
  return [
    `You said: ${lastWords(prompt)}`,
    ...(names === '' ? [] : [`You sent: ${names}`]),
    '你好！这里是演示用的上游，一切正常 ✨',
    'This answer comes from the **stand-in**, piece by piece, and uses up no quota. 😀',
  ].join('\n\n');
}

/** A line for each file of the question: name, type, bytes, SHA-256. */
function listOfFiles({ files }: Turn): string {
  if (files.length === 0) return 'no files';
  return files
    .map(({ fileName, mimeType, bytes, sha256 }) => [fileName, mimeType, bytes, sha256].join(', '))
    .join('\n');
}

function givenText(directive: Directive): string {
  const base64 = directive.text('base64');
  return base64 === null
    ? (directive.text('value') ?? '')
    : Buffer.from(base64, 'base64').toString();
}

/** Cuts by code points, as the model does: a character is never torn here. */
function inPieces(text: string, characters: number): string[] {
  const points = Array.from(text);
  const pieces: string[] = [];
  for (let start = 0; start < points.length; start += characters) {
    pieces.push(points.slice(start, start + characters).join(''));
  }
  return pieces;
}

async function deliver(question: Question, directive: Directive, text: string): Promise<void> {
  const pieces = inPieces(text, Math.max(1, directive.number('size', pieceCharacters)));
  const stream = new AnswerStream(question.exchange, question.session);
  if (await writePieces(stream, pieces, question, directive)) await stream.finish();
}

/** Writes with the pause that is ordered; false when the client left meanwhile. */
async function writePieces(
  stream: AnswerStream,
  pieces: readonly string[],
  question: Question,
  directive: Directive,
): Promise<boolean> {
  const pauseMs = directive.number('ms', question.pieceDelayMs);
  for (const [index, piece] of pieces.entries()) {
    if (index > 0 && pauseMs > 0) await question.exchange.sleep(pauseMs);
    if (question.exchange.gone) return false;
    await stream.text(piece);
  }
  return !question.exchange.gone;
}

async function count(question: Question, directive: Directive): Promise<void> {
  const total = directive.number('n', 10);
  const pieces = Array.from(
    { length: total },
    (_, index) => `${index === 0 ? '' : ' '}${index + 1}`,
  );
  const stream = new AnswerStream(question.exchange, question.session);
  if (await writePieces(stream, pieces, question, directive)) await stream.finish();
}

async function thoughts(question: Question, directive: Directive): Promise<void> {
  const { exchange, session } = question;
  const stream = new AnswerStream(exchange, session);
  const pauseMs = directive.number('ms', question.pieceDelayMs);
  const total = directive.number('n', 2);
  for (let number = 1; number <= total; number += 1) {
    if (number > 1 && pauseMs > 0 && !(await exchange.sleep(pauseMs))) return;
    await stream.text(
      `**Considering step ${number}**\n\nI weigh what was asked, 想一想。\n\n`,
      true,
    );
  }
  if (directive.name === 'thoughts-only') return stream.finish();
  const text = directive.text('value') ?? '**Bold** begins this answer, and it is no thought.';
  const pieces = inPieces(text, directive.number('size', pieceCharacters));
  if (pauseMs > 0 && !(await exchange.sleep(pauseMs))) return;
  if (await writePieces(stream, pieces, question, directive)) await stream.finish();
}

/** Every piece, the last one too, has to be confirmed before the stream goes on. */
async function lockstep(question: Question, directive: Directive): Promise<void> {
  const { exchange, session } = question;
  const id = directive.text('id') ?? 'default';
  const stream = new AnswerStream(exchange, session);
  const total = directive.number('n', 3);
  for (let number = 1; number <= total; number += 1) {
    await stream.text(`${number === 1 ? '' : ' '}piece ${number}`);
    if (!(await question.lockstep.confirmed(id, number, exchange.closed))) return exchange.reset();
  }
  await stream.finish();
}

async function silence(question: Question, directive: Directive): Promise<void> {
  const { exchange, session } = question;
  const stream = new AnswerStream(exchange, session);
  const before = directive.number('after', 0);
  for (let number = 1; number <= before; number += 1) await stream.text(`piece ${number} `);
  if (before === 0 && !directive.flag('late-head')) stream.begin();
  if (!(await exchange.sleep(directive.number('ms', 1000)))) return;
  await stream.text('Here I am again.');
  await stream.finish();
}

async function big({ exchange, session }: Question, directive: Directive): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  const pattern = '0123456789abcdef';
  const size = Math.max(1, directive.number('bytes', 1_000_000));
  await stream.text(pattern.repeat(Math.ceil(size / pattern.length)).slice(0, size));
  await stream.finish();
}

async function splitSurrogate({ exchange, session }: Question): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  await stream.text('An emoji in two halves: \ud83d');
  await stream.text('\ude00, whole again.');
  await stream.finish();
}

async function long(question: Question, directive: Directive): Promise<void> {
  const stream = new AnswerStream(question.exchange, question.session);
  const total = directive.number('tokens', 1000);
  const pieces = Array.from({ length: Math.ceil(total / wordsPerPiece) }, (_, index) =>
    ' word'.repeat(Math.min(wordsPerPiece, total - index * wordsPerPiece)),
  );
  if (await writePieces(stream, pieces, question, directive)) await stream.finish();
}

/** Cheap on purpose: the text elements are made once, and the whole goes out in few writes. */
async function bench({ exchange, session }: Question, directive: Directive): Promise<void> {
  const total = directive.number('pieces', 20);
  const last = new AnswerStream(exchange, session).final();
  const body = `[${benchElements(total, session.account.uToken)}${last}\n]`;
  session.account.quotas.count('text', exchange.nowMs);
  exchange.begin(200, 'application/json; charset=UTF-8');
  for (const piece of cutEvenly(Buffer.from(body), directive.number('writes', 5))) {
    exchange.write(piece);
    await nextTick();
    if (exchange.gone) return;
  }
  exchange.end();
}

function benchElements(total: number, uToken: string): string {
  const key = `${total} ${uToken}`;
  const known = benchPieces.get(key);
  if (known !== undefined) return known;
  const text = (index: number) => `Piece ${index + 1} of the answer. `;
  const elements = Array.from({ length: total }, (_, index) =>
    textElement(text(index), false, { uToken: index === 0 ? uToken : null, assistToken: 'bench' }),
  );
  const joined = elements.map((element) => `${element}\n,\n`).join('');
  if (benchPieces.size < 100) benchPieces.set(key, joined);
  return joined;
}
