/** An entry of `GET /v1/models`; the fields after `owned_by` are ours and left out where unknown. */
export interface Model {
  id: string;
  object: 'model';
  /** Unix seconds. */
  created: number;
  owned_by: string;
  display_name?: string;
  description?: string;
  context_length?: number;
  max_tokens?: number;
}

export interface ModelList {
  object: 'list';
  data: Model[];
}

export interface ModelDescription {
  id: string;
  /** When the model was configured. */
  createdAtMs: number;
  displayName: string | null;
  description: string | null;
  /** Tokens. */
  contextLength: number | null;
  /** Tokens of one answer. */
  maxTokens: number | null;
}

/** The wire form of a model; list and retrieve answer the very same. */
export function toModel(model: ModelDescription): Model {
  return {
    id: model.id,
    object: 'model',
    created: Math.floor(model.createdAtMs / 1000),
    owned_by: 'google',
    ...(model.displayName === null ? {} : { display_name: model.displayName }),
    ...(model.description === null ? {} : { description: model.description }),
    ...(model.contextLength === null ? {} : { context_length: model.contextLength }),
    ...(model.maxTokens === null ? {} : { max_tokens: model.maxTokens }),
  };
}

/** The answer of `GET /v1/models`; the order of `models` is kept. */
export function toModelList(models: readonly ModelDescription[]): ModelList {
  return { object: 'list', data: models.map(toModel) };
}
