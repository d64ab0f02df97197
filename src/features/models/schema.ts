import type { GeminiTool } from '@/gemini/tools';

/** A model as the operator configures it. */
export interface ModelDefinition {
  id: string;
  displayName: string;
  description: string;
  /** Null: no modelId is sent and the upstream chooses. */
  upstreamModelId: string | null;
  /** What the upstream may use for an answer. */
  tools: readonly GeminiTool[];
  contextLength: number;
  maxTokens: number;
  pricePer1kTokens: number;
  enabled: boolean;
}

/** The values of a definition that nobody gave. */
export const modelDefaults = {
  description: '',
  tools: ['web_search'] as readonly GeminiTool[],
  contextLength: 1_048_576,
  maxTokens: 65_536,
  pricePer1kTokens: 0,
  enabled: true,
};

const upstreamModels: [id: string, displayName: string][] = [
  ['gemini-2.5-flash', 'Gemini 2.5 Flash'],
  ['gemini-2.5-pro', 'Gemini 2.5 Pro'],
  ['gemini-3-pro-preview', 'Gemini 3 Pro (preview)'],
  ['gemini-3-flash-preview', 'Gemini 3 Flash (preview)'],
  ['gemini-3.1-pro-preview', 'Gemini 3.1 Pro (preview)'],
  ['gemini-3.8-flash', 'Gemini 3.8 Flash'],
];

/** The models of a first start (design 9; ids of protocol 10.1). */
export const defaultModels: ModelDefinition[] = [
  {
    ...modelDefaults,
    id: 'gemini-enterprise',
    displayName: 'Gemini Enterprise',
    description: 'The upstream chooses the model.',
    upstreamModelId: null,
  },
  ...upstreamModels.map(([id, displayName]) => ({
    ...modelDefaults,
    id,
    displayName,
    upstreamModelId: id,
  })),
];

/** Names that are accepted for a model and not listed. */
export const defaultAliases: Record<string, string[]> = {
  'gemini-enterprise': ['auto', 'local-gemini-auto'],
};
