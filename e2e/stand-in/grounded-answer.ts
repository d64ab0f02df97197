import { AnswerStream } from './answer-stream';
import type { Directive } from './directive';
import type { Question } from './scenario';

interface Segment {
  startIndex?: string;
  endIndex: string;
  text?: string;
  groundingScore: number;
  referenceIndices?: number[];
}

/**
 * Sentences that each rest on a page of the web (upstream-protocol 12.6), some characters of which
 * take several bytes. A first reference, which no sentence names, is no web page.
 */
export async function groundedAnswer(
  { exchange, session, pieceDelayMs }: Question,
  directive: Directive,
): Promise<void> {
  const stream = new AnswerStream(exchange, session);
  const sentences = Array.from(
    { length: directive.number('n', 2) },
    (_, index) => `Satz ${index + 1} über 北京 und Zürich 🏔. `,
  );
  const pauseMs = directive.number('ms', pieceDelayMs);
  const places = directive.text('places') ?? 'answer';
  const references = [
    { content: 'a mail', documentMetadata: { uri: 'gmail://message/1', title: 'A mail' } },
    ...sentences.map((_, index) => pageOf(index + 1)),
  ];
  const segments: Segment[] = [];
  let bytes = 0;
  for (const [index, sentence] of sentences.entries()) {
    if (index > 0 && pauseMs > 0 && !(await exchange.sleep(pauseMs))) return;
    const start = places === 'reply' ? 0 : bytes;
    const segment = segmentOf(sentence.trimEnd(), start, index + 1, directive);
    bytes += Buffer.byteLength(sentence);
    if (places === 'reply') {
      await stream.value(element(sentence, { segments: [segment], references }));
    } else {
      await stream.text(sentence);
      segments.push(segment);
    }
  }
  if (places === 'answer') await stream.value(element(null, { segments, references }));
  if (places === 'none') await stream.value(element(null, { references }));
  await stream.finish();
}

function pageOf(number: number) {
  const uri = `https://example.com/pages/${number}?q=z%C3%BCrich`;
  return { content: 'what the page says', documentMetadata: { uri, title: `Page ${number}` } };
}

/** Numbers of 64 bits are strings in Google's JSON, and a zero is left out. */
function segmentOf(text: string, start: number, reference: number, directive: Directive): Segment {
  return {
    ...(start > 0 && { startIndex: String(start) }),
    endIndex: String(start + Buffer.byteLength(text)),
    ...(!directive.flag('bare') && { text }),
    groundingScore: 0.9,
    referenceIndices: [reference],
  };
}

function element(text: string | null, textGroundingMetadata: object): unknown {
  const content = { role: 'model', ...(text !== null && { text }) };
  const replies = [{ groundedContent: { content, textGroundingMetadata } }];
  return {
    streamAssistResponse: { answer: { state: 'IN_PROGRESS', replies }, sessionInfo: {} },
  };
}
