/** Why a reply ended. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/** Tokens of a whole request. `completion_tokens` counts all choices, thoughts included. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  completion_tokens_details: { reasoning_tokens: number };
}

/** A page that a part of the message rests on. */
export interface Annotation {
  type: 'url_citation';
  /** Unicode characters of `content`; the end is exclusive. */
  url_citation: { start_index: number; end_index: number; url: string; title: string };
}

/** A part of a message as the Python system's callers know it. */
export type ContentPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string } };

/** The answer of `POST /v1/chat/completions` without `stream`. */
export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  /** Unix seconds. */
  created: number;
  model: string;
  choices: {
    index: number;
    message: {
      role: 'assistant';
      /** Parts only on demand (`image_format`), which is not of OpenAI. */
      content: string | ContentPart[] | null;
      refusal: null;
      /** Only when the model gave its thoughts. */
      reasoning_content?: string;
      /** Only when the answer rests on pages of the web. */
      annotations?: Annotation[];
    };
    logprobs: null;
    finish_reason: FinishReason;
  }[];
  usage: Usage;
}

/** One event of a stream. `choices` is empty in the usage chunk alone. */
export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  /** Unix seconds. */
  created: number;
  model: string;
  choices: {
    index: number;
    delta: {
      role?: 'assistant';
      content?: string;
      reasoning_content?: string;
      /** In one chunk, right before that with `finish_reason`. */
      annotations?: Annotation[];
    };
    logprobs: null;
    finish_reason: FinishReason | null;
  }[];
  /** There only where the caller asked for usage; null in all chunks but the last. */
  usage?: Usage | null;
}
