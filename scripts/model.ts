import { parseArgs } from 'node:util';
import { allAccounts } from '@/features/accounts/account-table';
import { getAccount } from '@/features/accounts/accounts';
import {
  createModel,
  deleteModel,
  listAllModels,
  removeAlias,
  setAlias,
  setAllowedAccounts,
  updateModel,
} from '@/features/models/model-changes';
import type { ModelOptions } from '@/features/models/schema';
import { AppError } from '@/platform/errors';
import { commaList, parseAssignment, printTable, runCommand } from './command-line.ts';

const HELP = `npm run model -- list                       all models, also those that are disabled
npm run model -- add ID [NAME=VALUE ...]    add a model, as the last one
npm run model -- set ID NAME=VALUE ...      change it
npm run model -- remove ID
npm run model -- alias NAME ID              let NAME stand for the model, too
npm run model -- unalias NAME
npm run model -- allow ID ACCOUNT[,ACCOUNT ...]
                                            let only these serve it: ids, csesidx or labels
npm run model -- allow ID all               let every account serve it

NAME=VALUE: display-name=…, description=…, upstream-model=ID (none: the upstream chooses; added
without it: the id itself), tools=web_search,image,video (or none), context-length=N,
max-tokens=N, price=N (of 1,000 tokens), enabled=yes|no, position=N (the smallest is first)`;

const optionNames: Record<string, keyof ModelOptions> = {
  'display-name': 'displayName',
  description: 'description',
  'upstream-model': 'upstreamModelId',
  tools: 'tools',
  'context-length': 'contextLength',
  'max-tokens': 'maxTokens',
  price: 'pricePer1kTokens',
  enabled: 'enabled',
  position: 'position',
};

const answers: Record<string, boolean> = { yes: true, no: false, true: true, false: false };

await runCommand(HELP, async (argv) => {
  const { positionals } = parseArgs({ args: argv, allowPositionals: true });
  const [verb, name, ...rest] = positionals;
  if (verb === 'list' && name === undefined) return list();
  if (name === undefined) return false;
  const [second, ...more] = rest;
  switch (verb) {
    case 'add':
      await createModel(name, optionsOf(rest));
      return done(`The model ${name} is added.`);
    case 'set':
      if (second === undefined) return false;
      await updateModel(name, optionsOf(rest));
      return done(`The model ${name} is set.`);
    case 'remove':
      if (second !== undefined) return false;
      await deleteModel(name);
      return done(`The model ${name} is removed.`);
    case 'alias':
      if (second === undefined || more.length > 0) return false;
      await setAlias(name, second);
      return done(`${name} stands for ${second}.`);
    case 'unalias':
      if (second !== undefined) return false;
      await removeAlias(name);
      return done(`The alias ${name} is removed.`);
    case 'allow':
      if (second === undefined || more.length > 0) return false;
      return allow(name, second);
    default:
      return false;
  }
});

function done(what: string): true {
  console.log(`${what} A running server sees it within a second.`);
  return true;
}

async function allow(id: string, names: string): Promise<true> {
  if (names === 'all') {
    await setAllowedAccounts(id, []);
    return done(`Every account may serve ${id}.`);
  }
  const accounts = [];
  for (const name of commaList(names)) accounts.push(await getAccount(name));
  // Without any, every account could serve it.
  if (accounts.length === 0) throw new AppError('invalid_request', 'Name an account, or say all.');
  await setAllowedAccounts(
    id,
    accounts.map((account) => account.id),
  );
  return done(`Only ${accounts.map(({ label }) => label).join(', ')} may serve ${id}.`);
}

function optionsOf(assignments: string[]): ModelOptions {
  return Object.fromEntries(
    assignments.map((text) => {
      const { name, value } = parseAssignment(text, optionNames);
      return [name, parseValue(name, value)];
    }),
  );
}

/** What is not understood stays as it is: the schema then says what it must be. */
function parseValue(name: keyof ModelOptions, text: string): unknown {
  switch (name) {
    case 'displayName':
    case 'description':
      return text;
    case 'upstreamModelId':
      return text === 'none' ? null : text;
    case 'tools':
      return text === 'none' ? [] : commaList(text);
    case 'enabled':
      return Object.hasOwn(answers, text) ? answers[text] : text;
    default:
      return text.trim() === '' ? text : Number(text);
  }
}

async function list(): Promise<true> {
  const accounts = await allAccounts();
  printTable(
    [
      'id',
      'name',
      'state',
      'upstream model',
      'tools',
      'context',
      'answer',
      'price',
      'accounts',
      'aliases',
    ],
    (await listAllModels()).map((model) => [
      model.id,
      model.displayName,
      model.enabled ? 'enabled' : 'disabled',
      model.upstreamModelId ?? '-',
      model.tools.join(', ') || '-',
      String(model.contextLength),
      String(model.maxTokens),
      String(model.pricePer1kTokens),
      model.accountIds.map((id) => accounts.get(id)?.label ?? id).join(', ') || 'all',
      model.aliases.join(', ') || '-',
    ]),
    'There are no models yet: the first start of the server adds them.',
  );
  return true;
}
