import { z } from 'zod';
import {
  type AttachmentPart,
  attachmentParts,
  type ChatAttachment,
  noAttachments,
  PromptFile,
  toAttachment,
  toPromptAttachment,
} from '@/openai/attachments';
import { mediaMarkdown } from '@/openai/media-links';
import { listOf, missingParameter, parseBy, show } from '@/openai/validation';
import { AppError } from '@/platform/errors';

/** The most choices (`n`) of one request; each is a query of its own upstream. */
export const MAX_CHOICES = 4;

/** More than any conversation has, few enough to check while others wait. */
const MAX_MESSAGES = 10_000;

const TextPart = z.object({ type: z.literal('text'), text: z.string() });
const RefusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });

const TextContent = z.union([z.string(), listOf(z.discriminatedUnion('type', [TextPart]))]);
const UserContent = z.union([
  z.string(),
  listOf(z.discriminatedUnion('type', [TextPart, ...attachmentParts])),
]);
const AssistantContent = z.union([
  z.string(),
  listOf(z.discriminatedUnion('type', [TextPart, RefusalPart, ...attachmentParts])),
]);

const name = z.string().nullish();
const CalledFunction = z.object({ name: z.string(), arguments: z.string() });
const ToolCall = z.object({
  id: z.string(),
  type: z.literal('function').nullish(),
  function: CalledFunction,
});

const AssistantMessage = z
  .object({
    role: z.literal('assistant'),
    content: AssistantContent.nullish(),
    refusal: z.string().nullish(),
    tool_calls: listOf(ToolCall).nullish(),
    function_call: CalledFunction.nullish(),
    name,
  })
  .superRefine((message, context) => {
    const calls = (message.tool_calls?.length ?? 0) + (message.function_call ? 1 : 0);
    if ((message.content ?? message.refusal ?? null) !== null || calls > 0) return;
    context.addIssue({
      code: 'custom',
      path: ['content'],
      message: "The 'content' of an assistant message is required unless it has 'tool_calls'.",
      params: { detail: 'missing_required_parameter' },
    });
  });

const Message = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer']), content: TextContent, name }),
  z.object({ role: z.literal('user'), content: UserContent, name }),
  AssistantMessage,
  z.object({ role: z.literal('tool'), content: TextContent, tool_call_id: z.string(), name }),
  z.object({ role: z.literal('function'), content: z.string().nullish(), name }),
]);
type Message = z.infer<typeof Message>;

const notYet = (what: string) => `${what} not supported by this server yet.`;
const noneOf = (what: string) =>
  z.array(z.unknown()).refine((items) => items.length === 0, notYet(`${what} are`));

const MAX_PROMPT_FILES = 100;

/** The older form of a message, of the Python system's callers. */
const Prompt = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']).nullish(),
  text: z.string(),
  files: listOf(PromptFile, { max: MAX_PROMPT_FILES }).nullish(),
});

/** A sequence is looked for with a table of its own length. */
const StopSequence = z.string().max(1_000);

const wholeNumber = z.number().refine(Number.isInteger, {
  error: ({ input }) => `Invalid value: ${show(input)} is not an integer.`,
});

/**
 * The body of `POST /v1/chat/completions`. Fields that change nothing upstream and cannot be wrong
 * in a way that matters are not in it: like unknown ones, they are ignored.
 */
const ChatCompletionRequest = z.object({
  model: z.string(),
  messages: listOf(Message, { min: 1, max: MAX_MESSAGES }).nullish(),
  prompts: listOf(Prompt, { min: 1, max: MAX_MESSAGES }).nullish(),
  stream: z.literal([true, false, 'true', 'false']).nullish(),
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .nullish(),
  n: z.int().min(1).max(MAX_CHOICES).nullish(),
  stop: z.union([StopSequence, listOf(StopSequence, { min: 1, max: 4 })]).nullish(),
  max_tokens: z.int().min(0).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: wholeNumber.nullish(),
  metadata: z.object({}).nullish(),
  image_format: z.enum(['markdown', 'url', 'base64', 'array']).nullish(),
  // A mere hint, which cannot be wrong in a way that matters.
  conversation_id: z.string().min(1).max(200).nullish().catch(null),
  logprobs: z
    .boolean()
    .refine((asked) => !asked, "There are no 'logprobs' to give.")
    .nullish(),
  top_logprobs: z
    .int()
    .min(0)
    .max(20)
    .refine((count) => count === 0, "There are no 'top_logprobs' to give.")
    .nullish(),
  tools: noneOf("'tools'").nullish(),
  functions: noneOf("'functions'").nullish(),
  tool_choice: z
    .unknown()
    .refine((choice) => choice === 'none' || choice === 'auto', {
      error: ({ input }) => notYet(`A 'tool_choice' of ${show(input)} is`),
    })
    .nullish(),
  response_format: z
    .object({ type: z.enum(['text', 'json_object', 'json_schema']) })
    .superRefine(({ type }, context) => {
      if (type === 'text') return;
      const message = notYet(`A 'response_format' of type '${type}' is`);
      context.addIssue({ code: 'custom', message });
    })
    .nullish(),
});
type ChatCompletionRequest = z.infer<typeof ChatCompletionRequest>;

/** A turn of the conversation; `developer` has become `system`, `function` has become `tool`. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  name: string | null;
  /** As the caller wrote it; several parts, and a refusal, are joined by a line break. */
  text: string;
  /** In the order of its parts. */
  attachments: readonly ChatAttachment[];
  toolCalls: ChatToolCall[];
  toolCallId: string | null;
}

export interface ChatToolCall {
  /** Empty for the deprecated `function_call`, which has none. */
  id: string;
  name: string;
  /** JSON, as the caller wrote it. */
  arguments: string;
}

/** What a request asks for, once its forms and defaults are out of the way. */
export interface ChatCompletionParameters {
  model: string;
  messages: ChatMessage[];
  stream: boolean;
  /** Whether the stream ends with a usage chunk; never without `stream`. */
  includeUsage: boolean;
  /** How many choices, 1 to `MAX_CHOICES`. */
  n: number;
  /** Sequences that end the reply; none is empty. */
  stop: string[];
  maxTokens: number | null;
  /** The caller's own name for the conversation, a hint; not to be relied on. */
  conversationId: string | null;
  /** How generated images and videos stand in the reply; `array` never with `stream`. */
  imageFormat: ImageFormat;
}

export type ImageFormat = 'markdown' | 'url' | 'base64' | 'array';

/**
 * Checks the parsed JSON of a request and brings it into one form.
 * Throws `AppError` `invalid_request`, with `param` wherever the body is an object.
 */
export function parseChatCompletionRequest(body: unknown): ChatCompletionParameters {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new AppError('invalid_request', `The body must be a JSON object, got ${show(body)}.`);
  }
  const request = parseBy(ChatCompletionRequest, body);
  const stream = request.stream === true || request.stream === 'true';
  return {
    model: request.model.toWellFormed(),
    messages: messagesOf(request),
    stream,
    includeUsage: stream && request.stream_options?.include_usage === true,
    n: request.n ?? 1,
    stop: request.stop ? stopSequences(request.stop) : [],
    maxTokens: request.max_completion_tokens ?? (request.max_tokens || null),
    conversationId: request.conversation_id?.toWellFormed() ?? null,
    imageFormat: imageFormatOf(request.image_format, stream),
  };
}

function imageFormatOf(format: ImageFormat | null | undefined, stream: boolean): ImageFormat {
  if (format !== 'array' || !stream) return format ?? 'markdown';
  throw new AppError('invalid_request', "An 'image_format' of 'array' can not be streamed.", {
    param: 'image_format',
    detail: 'invalid_value',
  });
}

function messagesOf({ messages, prompts }: ChatCompletionRequest): ChatMessage[] {
  if (messages) {
    return messages.map((message, index) => toChatMessage(message, `messages[${index}]`));
  }
  if (prompts) return prompts.map((prompt, index) => fromPrompt(prompt, `prompts[${index}]`));
  throw missingParameter('messages');
}

function fromPrompt({ role, text, files }: z.infer<typeof Prompt>, path: string): ChatMessage {
  return {
    role: role === 'developer' ? 'system' : (role ?? 'user'),
    name: null,
    text: text.toWellFormed(),
    attachments:
      files?.map((file, index) => toPromptAttachment(file, `${path}.files[${index}]`)) ??
      noAttachments,
    toolCalls: [],
    toolCallId: null,
  };
}

function toChatMessage(message: Message, path: string): ChatMessage {
  return {
    role: roleOf(message),
    name: message.name?.toWellFormed() ?? null,
    text: textOf(message),
    attachments: attachmentsOf(message, path),
    toolCalls: message.role === 'assistant' ? toolCallsOf(message) : [],
    toolCallId: message.role === 'tool' ? message.tool_call_id.toWellFormed() : null,
  };
}

function roleOf({ role }: Message): ChatMessage['role'] {
  if (role === 'developer') return 'system';
  return role === 'function' ? 'tool' : role;
}

function textOf(message: Message): string {
  const text = contentOf(message);
  const refusal = message.role === 'assistant' ? message.refusal : null;
  if (!refusal) return text.toWellFormed();
  return (text === '' ? refusal : `${text}\n${refusal}`).toWellFormed();
}

function contentOf({ role, content }: Message): string {
  if (typeof content === 'string') return content;
  let text: string | null = null;
  for (const part of content ?? []) {
    if (part.type === 'text') text = text === null ? part.text : `${text}\n${part.text}`;
    else if (part.type === 'refusal')
      text = text === null ? part.refusal : `${text}\n${part.refusal}`;
    // What an earlier answer has shown stands in its text, as it did for those who got it as text.
    else if (role === 'assistant' && isLink(part))
      text = (text ?? '') + mediaMarkdown(text ?? '', 'image', part.image_url);
  }
  return text ?? '';
}

function attachmentsOf({ role, content }: Message, path: string): readonly ChatAttachment[] {
  if (typeof content === 'string' || !content) return noAttachments;
  const attachments = content.flatMap((part, index) => {
    if (part.type === 'text' || part.type === 'refusal') return [];
    if (role === 'assistant' && isLink(part)) return [];
    return [toAttachment(part, `${path}.content[${index}]`)];
  });
  return attachments.length > 0 ? attachments : noAttachments;
}

function isLink(part: AttachmentPart): part is Extract<AttachmentPart, { type: 'image_url' }> {
  return part.type === 'image_url' && /^https?:/i.test(part.image_url);
}

function toolCallsOf(message: Extract<Message, { role: 'assistant' }>): ChatToolCall[] {
  const calls = (message.tool_calls ?? []).map(({ id, function: called }) => ({ id, ...called }));
  if (message.function_call) calls.push({ id: '', ...message.function_call });
  return calls.map((call) => ({
    id: call.id.toWellFormed(),
    name: call.name.toWellFormed(),
    arguments: call.arguments.toWellFormed(),
  }));
}

function stopSequences(stop: string | string[]): string[] {
  return [stop]
    .flat()
    .filter((sequence) => sequence !== '')
    .map((sequence) => sequence.toWellFormed());
}
