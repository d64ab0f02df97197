import { afterEach, describe, expect, it } from 'vitest';
import { runCommand } from '../support/commands';
import { eventually, type Pool, query, question, startPool } from '../support/pool';
import { accountRow, requestRow } from '../support/rows';
import { startServer } from '../support/server';

const PRO = 'gemini-2.5-pro';
const flashOnly = ['gemini-2.5-flash'];

let pool: Pool;
afterEach(() => pool.close());

const model = (...args: string[]) => runCommand('model', args, pool.server.dataDir);
const account = (...args: string[]) => runCommand('account', args, pool.server.dataDir);
/** A running server sees what a command changed within a second. */
const seen = () => new Promise((resolve) => setTimeout(resolve, 1_000));

function chat(name: string, directive = 'text value=ok') {
  // By the address of the server that runs now: one test starts another.
  return fetch(`${pool.server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${pool.key}` },
    body: JSON.stringify({ model: name, messages: question(directive) }),
  });
}

async function statuses(name: string, times: number): Promise<number[]> {
  const found = [];
  for (let count = 0; count < times; count++) found.push((await chat(name)).status);
  return found;
}

/** How many chats each account was asked for since the last reset. */
const asked = (accounts = 3) =>
  Array.from(
    { length: accounts },
    (_, index) => pool.standIn.counts(`demo-${index + 1}`).streamAssist ?? 0,
  );

const refusals = () =>
  query(pool.server.dataDir, { sql: 'SELECT * FROM "ModelRefusal"', args: [] });

const listed = async () =>
  (await (await pool.call('/v1/models')).json()).data.map(({ id }: { id: string }) => id);

describe('npm run model', () => {
  it('changes what a running server offers, within a second', async () => {
    pool = await startPool();
    await model('add', 'mine', 'display-name=My own', `upstream-model=${PRO}`, 'price=0.25');
    await model('set', 'mine', 'context-length=1000', 'max-tokens=50', 'position=0');
    await model('set', PRO, 'enabled=no');
    await model('alias', 'gpt-4o', 'mine');
    await seen();
    const shown = await (await pool.call('/v1/models/mine')).json();
    expect(shown).toMatchObject({ display_name: 'My own', context_length: 1000, max_tokens: 50 });
    expect(await listed()).toContain('mine');
    expect(await listed()).not.toContain(PRO);
    expect(await statuses('mine', 1)).toEqual([200]);
    expect(await statuses('gpt-4o', 1)).toEqual([200]);
    expect(pool.standIn.sessions.turns.map(({ modelId }) => modelId)).toEqual([PRO, PRO]);
    const unknown = await chat(PRO);
    expect(unknown.status).toBe(404);
    expect((await unknown.json()).error).toMatchObject({ code: 'model_not_found', param: 'model' });

    await model('unalias', 'gpt-4o');
    await model('remove', 'mine');
    await seen();
    expect([...(await statuses('gpt-4o', 1)), ...(await statuses('mine', 1))]).toEqual([404, 404]);
  });

  it('shows all models, disabled ones and their accounts too', async () => {
    pool = await startPool();
    await model('set', PRO, 'enabled=no', 'tools=none', 'upstream-model=none');
    await model('allow', PRO, 'account-1,account-3');
    const [line = ''] = (await model('list')).split('\n').filter((row) => row.startsWith(PRO));
    expect(line.split(/ {2,}/)).toEqual([
      ...[PRO, 'Gemini 2.5 Pro', 'disabled', '-', '-', '1048576', '65536', '0'],
      ...['account-1, account-3', '-'],
    ]);
    expect(await model('list')).toMatch(/gemini-enterprise .* all +auto, local-gemini-auto/);
  });

  it('gives a model to some accounts alone', async () => {
    pool = await startPool();
    await model('allow', PRO, 'account-2');
    await seen();
    expect(await statuses(PRO, 4)).toEqual([200, 200, 200, 200]);
    expect(asked()).toEqual([0, 4, 0]);
    await expect(account('delete', 'account-2')).rejects.toThrow('only one that may serve');
    await model('allow', PRO, 'all');
    await seen();
    await statuses(PRO, 6);
    expect(Math.min(...asked())).toBeGreaterThan(0);
    await account('delete', 'account-2');
  });

  it('says what is wrong', { timeout: 120_000 }, async () => {
    pool = await startPool({ accounts: 1 });
    const wrong: [string[], string][] = [
      [['add', PRO], 'There is a model'],
      [['add', 'new', 'price=much'], 'pricePer1kTokens'],
      [['allow', PRO, 'nobody'], 'There is no account nobody'],
      [['allow', PRO, ','], 'Name an account'],
      [['set', PRO], 'Not understood'],
    ];
    for (const [args, message] of wrong) await expect(model(...args)).rejects.toThrow(message);
  });
});

describe('a model that a workspace lacks', () => {
  it('is not asked of that account any more, over a restart, until it is switched on anew', async () => {
    pool = await startPool();
    pool.standIn.setModels('demo-1', flashOnly);
    expect(await statuses(PRO, 12)).toEqual(Array(12).fill(200));
    expect(asked()[0]).toBe(1);
    expect(await statuses('gemini-2.5-flash', 3)).toEqual([200, 200, 200]);
    const [before = 0] = asked();
    expect(before).toBeGreaterThan(1);
    expect(await accountRow(pool, 1)).toMatchObject({ condition: 'ok', fault: null });
    await eventually(async () => (await refusals()).length === 1);

    await pool.server.stop();
    pool.server = await startServer({ dataDir: pool.server.dataDir, standInUrl: pool.standIn.url });
    expect(await statuses(PRO, 6)).toEqual(Array(6).fill(200));
    expect(asked()[0]).toBe(before);
    expect(await account('list')).toMatch(new RegExp(`account-1 .* ${PRO} `));

    pool.standIn.setModels('demo-1', null);
    await account('enable', 'account-1');
    await seen();
    await statuses(PRO, 6);
    expect(asked()[0]).toBeGreaterThan(before);
    expect(await refusals()).toEqual([]);
  });

  it('is refused each time when no account has it, while others are served', async () => {
    pool = await startPool();
    pool.standIn.setModels('*', flashOnly);
    for (let count = 0; count < 3; count++) {
      const answer = await chat(PRO);
      expect(answer.status).toBe(400);
      expect((await answer.json()).error).toMatchObject({
        type: 'invalid_request_error',
        param: 'model',
        message: expect.stringContaining('do not offer this model'),
      });
    }
    // A server that has just begun does not know what was served before, and asks all again.
    expect(asked()).toEqual([3, 3, 3]);
    expect(await statuses('gemini-2.5-flash', 3)).toEqual([200, 200, 200]);
    expect(await statuses('gemini-enterprise', 3)).toEqual([200, 200, 200]);

    pool.standIn.setModels('*', null);
    await account('enable', 'account-3');
    await seen();
    expect(await statuses(PRO, 3)).toEqual([200, 200, 200]);
  });

  it('is not believed of a request that all refuse, of a model that serves others', async () => {
    pool = await startPool();
    expect(await statuses(PRO, 3)).toEqual([200, 200, 200]);
    const odd = await chat(PRO, 'http status=400 message="The model does not take this"');
    expect(odd.status).toBe(400);
    expect(await statuses(PRO, 3)).toEqual([200, 200, 200]);
  });

  it('names its tries in the log', async () => {
    pool = await startPool({ accounts: 2 });
    pool.standIn.setModels('demo-1', flashOnly);
    const [first, second] = [await chat(PRO), await chat(PRO)];
    const rows = await Promise.all(
      [first, second].map((answer) => requestRow(pool, answer.headers.get('x-request-id') ?? '')),
    );
    expect(rows.map(({ tries, status }) => [tries, status])).toContainEqual([2, 200]);
  });
});
