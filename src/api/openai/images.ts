import { isForm, readAttachmentForm } from '@/api/openai/attachment-form';
import { callerOf } from '@/api/openai/caller';
import { type Call, openAiEndpoint } from '@/api/openai/endpoint';
import { jsonReply, type Reply } from '@/api/reply';
import type { Caller } from '@/features/chat/completion';
import type { ShownMedia } from '@/features/chat/generated-media';
import { generateMedia, type MediaResult } from '@/features/chat/media-generation';
import { base64OfMedia } from '@/features/media/open-media';
import {
  type ImageParameters,
  type ImagesResponse,
  MAX_EDITED_IMAGES,
  parseImageEdit,
  parseImageEditForm,
  parseImageGeneration,
} from '@/openai/images';

/** The bytes of a larger picture do not stand in an answer. */
const MAX_IMAGE_BYTES = 48 * 1_048_576;

/** `POST /v1/images/generations` (contract 8.2). */
export const imageGenerations = openAiEndpoint({
  route: '/v1/images/generations',
  methods: { POST: async (call) => answer(call, parseImageGeneration(await call.json())) },
  logged: true,
});

/** `POST /v1/images/edits` (contract 8.3), as JSON or as a form. */
export const imageEdits = openAiEndpoint({
  route: '/v1/images/edits',
  methods: { POST: editImages },
  logged: true,
});

async function editImages(call: Call): Promise<Reply> {
  if (!isForm(call.request)) return answer(call, parseImageEdit(await call.json()));
  const counts = { image: MAX_EDITED_IMAGES, 'image[]': MAX_EDITED_IMAGES, mask: 1 };
  const form = await readAttachmentForm(call.request, counts, call.record.bodyShare);
  try {
    const images = [...form.of('image'), ...form.of('image[]')];
    return await answer(call, parseImageEditForm(form.fields, images, form.of('mask')[0] ?? null));
  } finally {
    await form.discard();
  }
}

async function answer(call: Call, parameters: ImageParameters): Promise<Reply> {
  const { model, prompt, n, format, attachments } = parameters;
  call.record.nameModel(model);
  const order = { kind: 'image' as const, model, prompt, attachments };
  const caller = await callerOf(call);
  const results = await generateMedia(order, n, caller);
  call.record.completion = sumOf(results);
  const images = results.flatMap(({ media }) => media).slice(0, n);
  const { promptTokens, completionTokens } = sumOf(results).usage();
  const response: ImagesResponse = {
    created: Math.floor(Date.now() / 1_000),
    data: format === 'url' ? images.map(({ url }) => ({ url })) : await withBytes(images, caller),
    usage: {
      input_tokens: promptTokens,
      output_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
  };
  return jsonReply(200, response);
}

/** The bytes of those for which there is memory, one after the other; of the rest the addresses. */
async function withBytes(
  images: readonly ShownMedia[],
  { mayInline }: Caller,
): Promise<ImagesResponse['data']> {
  const entries: ImagesResponse['data'] = [];
  for (const image of images) {
    const fits = image.bytes <= MAX_IMAGE_BYTES && mayInline(image.bytes);
    entries.push(fits ? { b64_json: await base64OfMedia(image) } : { url: image.url });
  }
  return entries;
}

/** What the questions of one order used together. */
function sumOf(results: readonly MediaResult[]) {
  const sum = (of: (result: MediaResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    model: results[0]?.model ?? null,
    usage: () => ({
      promptTokens: sum(({ usage }) => usage.promptTokens),
      completionTokens: sum(({ usage }) => usage.completionTokens),
      reasoningTokens: sum(({ usage }) => usage.reasoningTokens),
    }),
  };
}
