import { defaultAliases, type ModelDefinition, modelDefaults } from '@/features/models/schema';
import { type GeminiTool, geminiTools, type QuotaKind, quotaKindOf } from '@/gemini/tools';
import { cachedTable, reloadTable, stampChange } from '@/platform/cached-table';
import { type Database, query } from '@/platform/db';
import { AppError, excerpt } from '@/platform/errors';
import { parseJson } from '@/platform/parse-json';

const TABLE = 'models';

/** A model that may be asked for. */
export interface Model extends ModelDefinition {
  /** What a question to it is meant to use of an account's quotas. */
  quotaKind: QuotaKind;
  createdAtMs: number;
  /** The accounts that may serve it; empty: every account. */
  accountIds: string[];
}

/** The ids that a caller may use; null: all. */
export type ModelAllowList = readonly string[] | null;

interface ModelTable {
  /** In the operator's order; disabled ones are left out. */
  listed: Model[];
  /** By id and by alias. */
  byName: Map<string, Model>;
}

async function load(): Promise<ModelTable> {
  const rows = await query((db) =>
    db.model.findMany({
      where: { enabled: true },
      orderBy: [{ position: 'asc' }, { id: 'asc' }],
      include: { aliases: true, accounts: true },
    }),
  );
  const listed: Model[] = [];
  const byName = new Map<string, Model>();
  for (const { aliases, accounts, createdAt, position: _, ...row } of rows) {
    const tools = toolsOf(row.tools);
    const model = {
      ...row,
      tools,
      quotaKind: quotaKindOf(tools),
      createdAtMs: createdAt.getTime(),
      accountIds: accounts.map((account) => account.accountId),
    };
    listed.push(model);
    byName.set(model.id, model);
    for (const { alias } of aliases) if (!byName.has(alias)) byName.set(alias, model);
  }
  return { listed, byName };
}

/** The tools of a row. Names that this version does not know are left out: a later one may have written them. */
export function toolsOf(json: string): readonly GeminiTool[] {
  const names = parseJson(json);
  if (!Array.isArray(names)) return modelDefaults.tools;
  return geminiTools.filter((tool) => names.includes(tool));
}

/** The models of `allowed`, in the operator's order. */
export async function listModels(allowed: ModelAllowList): Promise<Model[]> {
  const { listed } = await cachedTable(TABLE, load);
  return listed.filter((model) => mayUse(allowed, model));
}

/**
 * The model of that id or alias.
 * @throws AppError `model_not_found`, or `model_not_allowed` if it is not in `allowed`
 */
export async function getModel(allowed: ModelAllowList, name: string): Promise<Model> {
  const { byName } = await cachedTable(TABLE, load);
  const model = byName.get(name);
  if (!model) throw modelNotFound(name);
  if (!mayUse(allowed, model)) {
    throw new AppError(
      'model_not_allowed',
      `This API key may not use the model "${excerpt(name)}".`,
      { param: 'model' },
    );
  }
  return model;
}

/** What is said of a model that is not there. */
export function modelNotFound(name: string): AppError {
  return new AppError('model_not_found', `The model "${excerpt(name)}" does not exist.`, {
    param: 'model',
  });
}

/** The model of that id or alias; null if there is none or it is not in `allowed`. */
export async function findModel(allowed: ModelAllowList, name: string): Promise<Model | null> {
  return findIn(await cachedTable(TABLE, load), allowed, name);
}

/** As `findModel`, at once; null also as long as the models were never read. */
export function modelInMemory(allowed: ModelAllowList, name: string): Model | null {
  const table = cachedTable(TABLE, load);
  if (!(table instanceof Promise)) return findIn(table, allowed, name);
  // Who needs the models waits for them, and hears why they can't be read.
  table.catch(() => {});
  return null;
}

function findIn({ byName }: ModelTable, allowed: ModelAllowList, name: string): Model | null {
  const model = byName.get(name);
  return model && mayUse(allowed, model) ? model : null;
}

/**
 * The ids of the models of these ids or aliases, each once.
 * @throws AppError `invalid_request` that names the unknown ones, and all that are known
 */
export async function resolveModelIds(names: string[]): Promise<string[]> {
  const { listed, byName } = await cachedTable(TABLE, load);
  const unknown = names.filter((name) => !byName.has(name)).map((name) => `"${excerpt(name)}"`);
  if (unknown.length > 0) {
    const known = listed.map(({ id }) => id).join(', ');
    throw new AppError(
      'invalid_request',
      `There is no model ${unknown.join(', ')}. ${known ? `Known models: ${known}.` : 'There are no models yet: the first start of the server adds them.'}`,
      { param: 'models' },
    );
  }
  return [...new Set(names.flatMap((name) => byName.get(name)?.id ?? []))];
}

function mayUse(allowed: ModelAllowList, model: Model): boolean {
  return allowed === null || allowed.includes(model.id);
}

/**
 * Adds models after those that are there, with those of their default aliases that are not taken.
 * Known ids are left alone.
 * @returns how many were added
 */
export async function addModels(
  definitions: (ModelDefinition & { accountIds?: string[]; position?: number })[],
): Promise<number> {
  const [known, aliases] = await query((db) =>
    db.$transaction([
      db.model.findMany({ select: { id: true, position: true } }),
      db.modelAlias.findMany(),
    ]),
  );
  const added = definitions.filter(({ id }) => !known.some((row) => row.id === id));
  if (added.length === 0) return 0;
  const taken = new Set([
    ...aliases.map(({ alias }) => alias),
    ...[...known, ...added].map(({ id }) => id),
  ]);
  const next = Math.max(-1, ...known.map(({ position }) => position)) + 1;
  await query((db) =>
    db.$transaction([
      ...added.map(({ accountIds = [], tools, ...definition }, index) =>
        db.model.create({
          data: {
            position: next + index,
            ...definition,
            tools: JSON.stringify(tools),
            aliases: { create: aliasesOf(definition.id, taken) },
            accounts: { create: accountIds.map((accountId) => ({ accountId })) },
          },
        }),
      ),
      stampModels(db),
    ]),
  );
  await reloadModels();
  return added.length;
}

function aliasesOf(id: string, taken: ReadonlySet<string>): { alias: string }[] {
  const aliases = (Object.hasOwn(defaultAliases, id) && defaultAliases[id]) || [];
  return aliases.filter((alias) => !taken.has(alias)).map((alias) => ({ alias }));
}

/** Reads the models anew; what a change does at its end. */
export async function reloadModels(): Promise<void> {
  await reloadTable(TABLE, load);
}

/** What must stand beside every write to the tables of the models, in the same transaction. */
export function stampModels(db: Database) {
  return stampChange(db, TABLE);
}

/** The ids of the models that this account alone may serve. */
export async function modelsOnlyOf(accountId: string): Promise<string[]> {
  const rows = await query((db) =>
    db.model.findMany({
      where: { accounts: { some: {}, every: { accountId } } },
      select: { id: true },
    }),
  );
  return rows.map((row) => row.id);
}
