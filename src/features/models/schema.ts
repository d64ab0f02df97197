import { z } from 'zod';
import { type GeminiTool, geminiTools } from '@/gemini/tools';

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

const tokens = z.number().int().min(1).max(1_000_000_000);

/** An id or an alias. Commas and blanks stand between names in commands and lists. */
export const ModelName = z
  .string()
  .regex(/^[^\s,\p{C}]{1,200}$/u, 'must be 1 to 200 characters, none of them a blank or a comma');

/** What the operator may say of a model. */
export const ModelOptions = z
  .object({
    displayName: z.string().trim().min(1).max(200),
    description: z.string().trim().max(2_000),
    /** Null: no modelId is sent and the upstream chooses. */
    upstreamModelId: ModelName.nullable(),
    tools: z.array(z.enum(geminiTools)).transform((tools) => [...new Set(tools)]),
    contextLength: tokens,
    maxTokens: tokens,
    pricePer1kTokens: z.number().min(0).max(1_000_000),
    enabled: z.boolean(),
    /** The smallest is first in lists. */
    position: z.number().int().min(0).max(1_000_000),
  })
  .partial();

export type ModelOptions = z.infer<typeof ModelOptions>;

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
  {
    ...modelDefaults,
    id: 'gemini-image',
    displayName: 'Gemini Image',
    description: 'Makes images.',
    upstreamModelId: null,
    tools: ['image'],
  },
  {
    ...modelDefaults,
    id: 'gemini-video',
    displayName: 'Gemini Video',
    description: 'Makes videos.',
    upstreamModelId: null,
    tools: ['video'],
  },
];

/** Names that are accepted for a model and not listed. */
export const defaultAliases: Record<string, string[]> = {
  'gemini-enterprise': ['auto', 'local-gemini-auto'],
};
