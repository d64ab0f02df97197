import { type Call, openAiEndpoint } from '@/api/openai/endpoint';
import type { Reply } from '@/api/reply';
import { AppError, excerpt } from '@/platform/errors';

/** Parts of OpenAI's API that the upstream has nothing for, and what can be used instead. */
const absent: [prefix: string, what: string][] = [
  ['/v1/embeddings', 'Embeddings are not offered: the upstream has none.'],
  ['/v1/audio', 'Audio is not offered: the upstream has none.'],
  ['/v1/moderations', 'Moderation is not offered: the upstream has none.'],
  ['/v1/fine_tuning', 'Fine-tuning is not offered: the upstream has none.'],
  ['/v1/batches', 'Batches are not offered.'],
  ['/v1/assistants', 'Assistants are not offered.'],
  ['/v1/threads', 'Assistants are not offered.'],
];

const refuse = async ({ request, path }: Call): Promise<Reply> => {
  const known = absent.find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`));
  const what = known?.[1] ?? `Unknown address: ${excerpt(request.method)} ${excerpt(path)}.`;
  throw new AppError(
    'unknown_url',
    `${what} There are /v1/chat/completions, /v1/models, /v1/files, /v1/images and /v1/videos.`,
  );
};

/** Every other address below `/v1`, whatever the method. */
export const notOffered = openAiEndpoint({
  route: 'other',
  methods: {},
  otherwise: refuse,
  logged: false,
});
