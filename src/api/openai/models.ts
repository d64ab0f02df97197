import { type Call, openAiEndpoint } from '@/api/openai/endpoint';
import { jsonReply, type Reply } from '@/api/reply';
import { findModel, listModels, modelNotFound } from '@/features/models/models';
import { toModel, toModelList } from '@/openai/models';

const LIST_PATH = '/v1/models';

/** `GET /v1/models` (contract 2). */
export const models = openAiEndpoint({
  route: LIST_PATH,
  methods: {
    async GET({ key }) {
      return jsonReply(200, toModelList(await listModels(key.models)));
    },
  },
  logged: false,
});

/**
 * `GET /v1/models/{id}`; the id may hold slashes, percent-encoded or not. An alias gets the entry of
 * the model that it stands for: some clients ask before they chat.
 */
export const model = openAiEndpoint({
  route: `${LIST_PATH}/{id}`,
  methods: { GET: retrieve },
  logged: false,
});

async function retrieve({ key, path }: Call): Promise<Reply> {
  const id = decoded(path.slice(LIST_PATH.length + 1).replace(/\/$/, ''));
  const found = await findModel(key.models, id);
  if (!found) throw modelNotFound(id);
  return jsonReply(200, toModel(found));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
