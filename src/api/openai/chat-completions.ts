import { callerOf } from '@/api/openai/caller';
import { type Call, openAiEndpoint, toShown } from '@/api/openai/endpoint';
import { streamReply } from '@/api/openai/stream-response';
import { jsonReply, type Reply } from '@/api/reply';
import type { Citation } from '@/features/chat/citations';
import { type Completion, createCompletion } from '@/features/chat/completion';
import { chunkWriter, eventPieces, toChatCompletion } from '@/features/chat/to-openai';
import { settings } from '@/features/settings/settings';
import { type ChatCompletionParameters, parseChatCompletionRequest } from '@/openai/chat';
import { completionId } from '@/openai/ids';
import { SSE_DONE } from '@/openai/sse';

/** `POST /v1/chat/completions` (contract 3). */
export const chatCompletions = openAiEndpoint({
  route: '/v1/chat/completions',
  methods: { POST: createChatCompletion },
  logged: true,
});

async function createChatCompletion(call: Call): Promise<Reply> {
  const parameters = parseChatCompletionRequest(await call.json());
  if (parameters.stream) call.record.beginStream();
  const completion = await createCompletion(parameters, await callerOf(call));
  call.record.completion = completion;
  const identity = {
    id: completionId(),
    created: Math.floor(Date.now() / 1_000),
    model: parameters.model,
  };
  if (!parameters.stream) return jsonReply(200, await collect(completion, identity, parameters));
  const { n, includeUsage } = parameters;
  const { id, created, model } = identity;
  return stream(call, completion, n, { id, created, model, includeUsage });
}

interface Identity {
  id: string;
  created: number;
  model: string;
}

async function collect(
  completion: Completion,
  identity: Identity,
  { n, imageFormat }: ChatCompletionParameters,
) {
  const choices = Array.from({ length: n }, () => ({
    text: '',
    reasoning: '',
    citations: [] as Citation[],
    images: [] as string[],
    finishReason: 'stop' as 'stop' | 'length',
  }));
  for await (const batch of completion.pieces) {
    for (const piece of batch) {
      const choice = choices[piece.index];
      if (!choice) continue;
      if (piece.type === 'text') choice.text += piece.text;
      else if (piece.type === 'media') {
        const isPart = imageFormat === 'array' && piece.media.kind === 'image';
        if (isPart) choice.images.push(piece.media.url);
        else choice.text += piece.text;
      } else if (piece.type === 'reasoning') choice.reasoning += piece.text;
      else if (piece.type === 'citations') choice.citations = piece.citations;
      else choice.finishReason = piece.reason;
    }
  }
  const { id, created, model } = identity;
  return toChatCompletion({ id, created, model, choices, counts: completion.usage() });
}

async function stream(
  call: Call,
  completion: Completion,
  n: number,
  identity: Identity & { includeUsage: boolean },
): Promise<Reply> {
  const { earlyHeadersAfterMs, commentEveryMs } = await settings();
  const { record } = call;
  return streamReply(toEvents(completion, n, identity), {
    earlyHeadersAfterMs,
    commentEveryMs,
    toShown: (error) => toShown(error, record.requestId),
    onFirstByte: () => record.firstByte(),
    onEnd(failure) {
      if (failure) record.fail(failure);
      else record.finish(200, null);
    },
  });
}

/** The events of a stream (contract 3.6); those of one batch, and the end, in one piece. */
async function* toEvents(
  completion: Completion,
  n: number,
  identity: Identity & { includeUsage: boolean },
): AsyncGenerator<string, void, undefined> {
  const writer = chunkWriter(identity);
  const begun = new Set<number>();
  let finished = 0;
  for await (const batch of completion.pieces) {
    let events = '';
    for (const piece of batch) {
      const { index } = piece;
      if (!begun.has(index)) events += writer.role(index);
      begun.add(index);
      if (piece.type === 'finish') {
        finished += 1;
        events += writer.finish(index, piece.reason);
        continue;
      }
      if (piece.type === 'citations') {
        events += writer.citations(index, piece.citations);
        continue;
      }
      const write = piece.type === 'reasoning' ? writer.reasoning : writer.content;
      for (const text of eventPieces(piece.text)) events += write(index, text);
    }
    if (finished === n) {
      if (identity.includeUsage) events += writer.usage(completion.usage());
      events += SSE_DONE;
    }
    yield events;
  }
}
