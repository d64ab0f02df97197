import type { Citation } from '@/features/chat/citations';
import type {
  Annotation,
  ChatCompletion,
  ContentPart,
  FinishReason,
  Usage,
} from '@/openai/completion';
import { SSE_DATA, SSE_END } from '@/openai/sse';

/** What all answers to one request have in common. */
export interface AnswerHead {
  id: string;
  /** Unix seconds. */
  created: number;
  /** The id that was asked for. */
  model: string;
}

export interface TokenCounts {
  promptTokens: number;
  /** Of all choices, thoughts included. */
  completionTokens: number;
  reasoningTokens: number;
}

/** The `usage` of a request. A prompt is at least one token, since clients divide by it. */
export function toUsage(counts: TokenCounts): Usage {
  const promptTokens = Math.max(1, counts.promptTokens);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: counts.completionTokens,
    total_tokens: promptTokens + counts.completionTokens,
    completion_tokens_details: { reasoning_tokens: counts.reasoningTokens },
  };
}

function toAnnotations(citations: readonly Citation[]): Annotation[] {
  return citations.map(({ url, title, startIndex, endIndex }) => ({
    type: 'url_citation',
    url_citation: { start_index: startIndex, end_index: endIndex, url, title },
  }));
}

/** Each function gives one `ChatCompletionChunk` as an event. */
export interface ChunkWriter {
  /** The first of each choice. */
  role(index: number): string;
  reasoning(index: number, text: string): string;
  content(index: number, text: string): string;
  /** At most once for each choice: clients can not put lists of several chunks together. */
  citations(index: number, citations: readonly Citation[]): string;
  /** The last of each choice. */
  finish(index: number, reason: FinishReason): string;
  /** The last of a stream, where the caller asked for usage. */
  usage(counts: TokenCounts): string;
}

/**
 * Writes the chunks of one stream. The frame is put together once, since this is the hottest path
 * of the server; a chunk costs the quoting of its text.
 */
export function chunkWriter(head: AnswerHead & { includeUsage: boolean }): ChunkWriter {
  const { id, created, model, includeUsage } = head;
  const start =
    `${SSE_DATA}{"id":${JSON.stringify(id)},"object":"chat.completion.chunk","created":${created},` +
    `"model":${JSON.stringify(model)},"choices":[`;
  const end = `}]${includeUsage ? ',"usage":null' : ''}}${SSE_END}`;
  const open = `},"logprobs":null,"finish_reason":null${end}`;
  const chunk = (index: number, delta: string) => `${start}{"index":${index},"delta":${delta}`;
  const contentStarts: string[] = [];
  return {
    role: (index) => chunk(index, `{"role":"assistant","content":""${open}`),
    reasoning: (index, text) => chunk(index, `{"reasoning_content":${JSON.stringify(text)}${open}`),
    content(index, text) {
      contentStarts[index] ??= chunk(index, '{"content":');
      return contentStarts[index] + JSON.stringify(text) + open;
    },
    citations: (index, citations) =>
      chunk(index, `{"annotations":${JSON.stringify(toAnnotations(citations))}${open}`),
    finish: (index, reason) => chunk(index, `{},"logprobs":null,"finish_reason":"${reason}"${end}`),
    usage: (counts) => `${start}],"usage":${JSON.stringify(toUsage(counts))}}${SSE_END}`,
  };
}

/** Even if each of its characters becomes an escape, an event of so many stays below 64 kB. */
const MAX_PIECE_CHARACTERS = 10_000;

/** A text in pieces that fit an event each (design 9); never cut inside a character. */
export function eventPieces(text: string): string[] {
  if (text.length <= MAX_PIECE_CHARACTERS) return [text];
  const pieces: string[] = [];
  for (let start = 0; start < text.length; ) {
    const limit = start + MAX_PIECE_CHARACTERS;
    const last = text.charCodeAt(limit - 1);
    const end = last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit;
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

/** One finished choice; its index is its place in the list. */
export interface FinishedChoice {
  text: string;
  /** Empty if the model gave no thoughts. */
  reasoning: string;
  citations: readonly Citation[];
  /** The addresses of what it made, where they are to stand beside the text and not in it. */
  images: readonly string[];
  finishReason: FinishReason;
}

/** The whole answer of a request that did not ask for a stream. */
export function toChatCompletion(
  answer: AnswerHead & { choices: readonly FinishedChoice[]; counts: TokenCounts },
): ChatCompletion {
  return {
    id: answer.id,
    object: 'chat.completion',
    created: answer.created,
    model: answer.model,
    choices: answer.choices.map((choice, index) => ({
      index,
      message: messageOf(choice),
      logprobs: null,
      finish_reason: choice.finishReason,
    })),
    usage: toUsage(answer.counts),
  };
}

function messageOf({ text, reasoning, citations, images }: FinishedChoice): Message {
  const content = images.length === 0 ? text : contentParts(text, images);
  const message: Message = { role: 'assistant', content, refusal: null };
  if (reasoning !== '') message.reasoning_content = reasoning;
  if (citations.length > 0) message.annotations = toAnnotations(citations);
  return message;
}

/** The form of an answer that the Python system gave (`image_format: "array"`). */
function contentParts(text: string, images: readonly string[]): ContentPart[] {
  const parts = images.map((url): ContentPart => ({ type: 'image_url', image_url: { url } }));
  return text === '' ? parts : [{ type: 'text', text }, ...parts];
}

type Message = ChatCompletion['choices'][number]['message'];
