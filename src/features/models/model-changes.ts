import type { z } from 'zod';
import { addModels, reloadModels, stampModels, toolsOf } from '@/features/models/models';
import {
  type ModelDefinition,
  ModelName,
  ModelOptions,
  modelDefaults,
} from '@/features/models/schema';
import { type Database, query } from '@/platform/db';
import { AppError, excerpt } from '@/platform/errors';

/** What the operator sees of a model, also of one that is disabled. */
export interface ModelSummary extends ModelDefinition {
  position: number;
  aliases: string[];
  /** The accounts that may serve it; empty: every account. */
  accountIds: string[];
}

/** All models, in the operator's order. */
export async function listAllModels(): Promise<ModelSummary[]> {
  const rows = await query((db) =>
    db.model.findMany({
      orderBy: [{ position: 'asc' }, { id: 'asc' }],
      include: { aliases: { orderBy: { alias: 'asc' } }, accounts: true },
    }),
  );
  return rows.map(({ createdAt: _, ...row }) => ({
    ...row,
    tools: toolsOf(row.tools),
    aliases: row.aliases.map(({ alias }) => alias),
    accountIds: row.accounts.map(({ accountId }) => accountId),
  }));
}

/**
 * Adds a model, as the last one if no position is given. What is left out is its default: the id as
 * display name and for the upstream.
 * @throws AppError `invalid_request`, or `conflict` if a model or an alias has that name
 */
export async function createModel(id: string, options: ModelOptions): Promise<void> {
  parsed(ModelName, id, 'id');
  const given = parsed(ModelOptions, options);
  const alias = await query((db) => db.modelAlias.findUnique({ where: { alias: id } }));
  if (alias) {
    throw new AppError(
      'conflict',
      `${excerpt(id)} is an alias of ${alias.modelId}. Take the alias away first.`,
    );
  }
  const own = { id, displayName: id, upstreamModelId: id };
  const added = await addModels([{ ...modelDefaults, ...own, ...givenOf(given) }]);
  if (added === 0) throw new AppError('conflict', `There is a model ${excerpt(id)} already.`);
}

/**
 * Changes these options of a model; the others stay.
 * @throws AppError `invalid_request` with the name as `param`, or `not_found`
 */
export async function updateModel(id: string, options: ModelOptions): Promise<void> {
  const { tools, ...given } = givenOf(parsed(ModelOptions, options));
  await requireModel(id);
  const data = { ...given, ...(tools && { tools: JSON.stringify(tools) }) };
  await change((db) => [db.model.update({ where: { id }, data })]);
}

/**
 * Deletes a model with its aliases. Keys that are limited to it keep the limit.
 * @throws AppError `not_found`
 */
export async function deleteModel(id: string): Promise<void> {
  await requireModel(id);
  await change((db) => [db.model.delete({ where: { id } })]);
}

/**
 * Lets `alias` stand for the model, also if it stood for another one.
 * @throws AppError `invalid_request`, `not_found`, or `conflict` if it is the id of a model
 */
export async function setAlias(alias: string, modelId: string): Promise<void> {
  parsed(ModelName, alias, 'alias');
  await requireModel(modelId);
  if (await query((db) => db.model.findUnique({ where: { id: alias } }))) {
    throw new AppError('conflict', `${excerpt(alias)} is the id of a model.`, { param: 'alias' });
  }
  await change((db) => [
    db.modelAlias.upsert({ where: { alias }, create: { alias, modelId }, update: { modelId } }),
  ]);
}

/**
 * Takes an alias away.
 * @throws AppError `not_found`
 */
export async function removeAlias(alias: string): Promise<void> {
  if (!(await query((db) => db.modelAlias.findUnique({ where: { alias } })))) {
    throw new AppError('not_found', `There is no alias ${excerpt(alias)}.`);
  }
  await change((db) => [db.modelAlias.delete({ where: { alias } })]);
}

/**
 * Sets which accounts may serve the model; none: every account.
 * @throws AppError `not_found` if the model or one of the accounts is not there
 */
export async function setAllowedAccounts(
  modelId: string,
  accountIds: readonly string[],
): Promise<void> {
  await requireModel(modelId);
  const rows = [...new Set(accountIds)].map((accountId) => ({ modelId, accountId }));
  try {
    await change((db) => [
      db.modelAccount.deleteMany({ where: { modelId } }),
      ...rows.map((data) => db.modelAccount.create({ data })),
    ]);
  } catch (error) {
    if ((error as { code?: unknown }).code !== FOREIGN_KEY_FAILED) throw error;
    throw new AppError('not_found', 'One of the accounts is not there any more.', { cause: error });
  }
}

/** Prisma's code for a row that points to nothing. */
const FOREIGN_KEY_FAILED = 'P2003';

async function requireModel(id: string): Promise<void> {
  if (await query((db) => db.model.findUnique({ where: { id } }))) return;
  const ids = (await query((db) => db.model.findMany({ select: { id: true } }))).map(
    (model) => model.id,
  );
  throw new AppError(
    'not_found',
    `There is no model ${excerpt(id)}. ${ids.length > 0 ? `Models: ${ids.join(', ')}.` : 'There are no models yet.'}`,
  );
}

/** Makes these writes in one transaction, so that every process hears of them. */
async function change(
  writes: (db: Database) => ReturnType<Database['$queryRawUnsafe']>[],
): Promise<void> {
  await query((db) => db.$transaction([...writes(db), stampModels(db)]));
  await reloadModels();
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, name = ''): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const param = String(issue?.path[0] ?? name);
  throw new AppError('invalid_request', `${param}: ${issue?.message}`, { param });
}

/** What was given as `undefined` was not given. */
function givenOf(options: ModelOptions) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Name in keyof ModelOptions]: Exclude<ModelOptions[Name], undefined>;
  };
}
