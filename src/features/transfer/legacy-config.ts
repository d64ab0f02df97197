import { z } from 'zod';
import { AccountInput } from '@/features/accounts/schema';
import { type ModelDefinition, modelDefaults } from '@/features/models/schema';
import type { GeminiTool } from '@/gemini/tools';
import { AppError } from '@/platform/errors';
import { isProxyUrl, PROXY_URL_RULE } from '@/platform/proxy-url';

/**
 * The Python system's `business_gemini_session.json` (seed A8), read into ours. Pure. Its values may
 * carry stray types: numbers and booleans as text.
 */

export interface LegacyConfig {
  accounts: AccountInput[];
  models: LegacyModel[];
  /** Null: none, or switched off. */
  proxyUrl: string | null;
  /** What was left out or looks wrong, for the operator. Without secrets. */
  warnings: string[];
}

interface LegacyModel {
  definition: ModelDefinition;
  /** Position in `accounts` of the only account that serves it; null: all. */
  accountIndex: number | null;
}

const text = z.coerce.string().trim();
const optionalText = z.preprocess(
  (value) => (value === null || value === undefined || value === '' ? null : value),
  text.nullable(),
);
const flag = z.preprocess(
  (value) => (typeof value === 'string' ? !/^(false|0|no|off|)$/i.test(value.trim()) : value),
  z.coerce.boolean(),
);
const number = (usual: number) => z.coerce.number().finite().catch(usual);
/** What a column of whole numbers takes. */
const tokens = (usual: number) => z.coerce.number().int().min(0).max(2_147_483_647).catch(usual);

const Account = z.object({
  team_id: optionalText.optional(),
  secure_c_ses: optionalText.optional(),
  host_c_oses: optionalText.optional(),
  csesidx: optionalText.optional(),
  user_agent: optionalText.optional(),
  available: flag.optional(),
  tempmail_url: optionalText.optional(),
  tempmail_name: optionalText.optional(),
});

const Model = z.object({
  id: text,
  name: optionalText.optional(),
  description: optionalText.optional(),
  api_model_id: optionalText.optional(),
  context_length: tokens(modelDefaults.contextLength).optional(),
  max_tokens: tokens(modelDefaults.maxTokens).optional(),
  price_per_1k_tokens: number(0).optional(),
  enabled: flag.optional(),
  account_index: number(-1).optional(),
});

/** Values of `api_model_id` that mean a tool, and no upstream model. */
const mediaTools: Readonly<Record<string, readonly GeminiTool[]>> = {
  'gemini-image': ['image'],
  'gemini-video': ['video'],
};

/**
 * Reads the text of such a file; a single account object is taken too (protocol 3.1).
 * @throws AppError `invalid_request` if it is not of that form at all
 */
export function parseLegacyConfig(json: string): LegacyConfig {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new AppError('invalid_request', 'The file is not valid JSON.');
  }
  const document = toDocument(value);
  const warnings: string[] = [];
  const positions = new Map<number, number>();
  const accounts: AccountInput[] = [];
  for (const [index, entry] of document.accounts.entries()) {
    const account = toAccount(entry, index, warnings);
    if (!account) continue;
    const sameAt = accounts.findIndex((known) => known.csesidx === account.csesidx);
    if (sameAt >= 0) {
      warnings.push(`Account ${index + 1} has the csesidx of an earlier one, which it replaces.`);
      accounts[sameAt] = account;
    } else accounts.push(account);
    positions.set(index, sameAt >= 0 ? sameAt : accounts.length - 1);
  }
  const models = new Map<string, LegacyModel>();
  for (const [index, entry] of document.models.entries()) {
    const model = toModel(entry, index, positions, warnings);
    if (!model) continue;
    const { id } = model.definition;
    if (models.has(id)) warnings.push(`Model ${index + 1} has the id of an earlier one: left out.`);
    else models.set(id, model);
  }
  return {
    accounts,
    models: [...models.values()],
    proxyUrl: toProxyUrl(document, warnings),
    warnings,
  };
}

interface Document {
  accounts: unknown[];
  models: unknown[];
  proxy?: unknown;
  proxy_enabled?: unknown;
}

function toDocument(value: unknown): Document {
  if (typeof value !== 'object' || value === null) throw notOfThisForm();
  if (Array.isArray(value)) return { accounts: value, models: [] };
  if ('csesidx' in value) return { accounts: [value], models: [] };
  const { accounts, models = [], ...rest } = value as Record<string, unknown>;
  if (!Array.isArray(accounts) || !(Array.isArray(models) || models === null))
    throw notOfThisForm();
  return { ...rest, accounts, models: models ?? [] };
}

function notOfThisForm(): AppError {
  return new AppError(
    'invalid_request',
    'The file has no list "accounts". Give the business_gemini_session.json of the Python system, or one of its accounts.',
  );
}

function toAccount(entry: unknown, index: number, warnings: string[]): AccountInput | null {
  const legacy = Account.safeParse(entry);
  const input = legacy.success
    ? AccountInput.safeParse({
        label: legacy.data.tempmail_name ?? null,
        csesidx: legacy.data.csesidx ?? '',
        configId: legacy.data.team_id ?? '',
        secureCSes: legacy.data.secure_c_ses ?? '',
        hostCOses: legacy.data.host_c_oses ?? null,
        userAgent: legacy.data.user_agent ?? null,
        mailboxName: legacy.data.tempmail_name ?? null,
        mailboxUrl: legacy.data.tempmail_url ?? null,
        enabled: legacy.data.available ?? true,
      })
    : null;
  if (input?.success) return input.data;
  const issue = input?.error.issues[0];
  const why = issue ? `${issue.path.join('.')} ${issue.message}` : 'it is no object';
  warnings.push(`Account ${index + 1} was left out: ${why}.`);
  return null;
}

function toModel(
  entry: unknown,
  index: number,
  positions: Map<number, number>,
  warnings: string[],
): LegacyModel | null {
  const legacy = Model.safeParse(entry);
  if (!legacy.success || legacy.data.id === '') {
    warnings.push(`Model ${index + 1} was left out: it has no id.`);
    return null;
  }
  const {
    id,
    name,
    description,
    api_model_id: upstreamModelId,
    account_index: at = -1,
  } = legacy.data;
  const mediaTool = upstreamModelId ?? id;
  const tools = Object.hasOwn(mediaTools, mediaTool) ? mediaTools[mediaTool] : undefined;
  const accountIndex = at >= 0 ? positions.get(at) : null;
  if (accountIndex === undefined) {
    warnings.push(`Model ${id} was left out: its account ${at + 1} is not in the file.`);
    return null;
  }
  return {
    accountIndex,
    definition: {
      id,
      displayName: name ?? id,
      description: description ?? '',
      upstreamModelId: tools ? null : (upstreamModelId ?? null),
      tools: tools ?? modelDefaults.tools,
      contextLength: legacy.data.context_length ?? modelDefaults.contextLength,
      maxTokens: legacy.data.max_tokens ?? modelDefaults.maxTokens,
      pricePer1kTokens: legacy.data.price_per_1k_tokens ?? 0,
      enabled: legacy.data.enabled ?? true,
    },
  };
}

function toProxyUrl(document: Document, warnings: string[]): string | null {
  const proxy = optionalText.safeParse(document.proxy);
  const enabled = flag.safeParse(document.proxy_enabled);
  if (!proxy.success || !proxy.data || !enabled.success || !enabled.data) return null;
  if (isProxyUrl(proxy.data)) return proxy.data;
  warnings.push(`The proxy was left out: it ${PROXY_URL_RULE}.`);
  return null;
}
