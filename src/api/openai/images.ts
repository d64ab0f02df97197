import { isForm, readAttachmentForm } from '@/api/openai/attachment-form';
import { callerOf } from '@/api/openai/caller';
import { type Call, openAiEndpoint } from '@/api/openai/endpoint';
import { jsonReply, type Reply } from '@/api/reply';
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
  const form = await readAttachmentForm(call.request, counts);
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
  const results = await generateMedia(order, n, await callerOf(call));
  call.record.completion = sumOf(results);
  const images = results.flatMap(({ media }) => media).slice(0, n);
  const { promptTokens, completionTokens } = sumOf(results).usage();
  const response: ImagesResponse = {
    created: Math.floor(Date.now() / 1_000),
    data: await Promise.all(images.map((image) => entryOf(image, format))),
    usage: {
      input_tokens: promptTokens,
      output_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    },
  };
  return jsonReply(200, response);
}

async function entryOf(image: ShownMedia, format: ImageParameters['format']) {
  if (format === 'url') return { url: image.url };
  return { b64_json: await base64OfMedia(image) };
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
