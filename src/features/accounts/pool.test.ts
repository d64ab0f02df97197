import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { saveAccounts } from '@/features/accounts/accounts';
import { modelsRefusedBy } from '@/features/accounts/offers';
import { type Need, withAccount } from '@/features/accounts/pool';
import { AccountInput } from '@/features/accounts/schema';
import { poolGuards } from '@/features/accounts/seats';
import { endTrace, newTrace } from '@/features/accounts/trace';
import { queueLength } from '@/features/accounts/wait-queue';
import { openDataFolder } from '@/features/settings/data-folder';
import { updateSettings } from '@/features/settings/settings';
import { GeminiError } from '@/gemini/errors';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { newDataFolder } from '../../../e2e/support/data-folder';
import { resetProcessState } from '../../../e2e/support/hand-made-accounts';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

const DAY_MS = 24 * 3_600_000;
const BEGAN_AT_MS = Date.now();
let ids: string[] = [];

/** Each test is a process of its own, which began at `BEGAN_AT_MS`. */
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: BEGAN_AT_MS });
  await openDataFolder();
  const inputs = ['1', '2'].map((csesidx) =>
    AccountInput.parse({ csesidx, configId: 'team', secureCSes: 'CSE.x' }),
  );
  ids = (await saveAccounts(inputs)).ids;
});
afterEach(async () => {
  vi.useRealTimers();
  stopCachedTables();
  await closeDatabase();
  resetProcessState();
});

const later = () => vi.setSystemTime(BEGAN_AT_MS + DAY_MS + 1);
const refusing = () => ids.map((id) => modelsRefusedBy(id, Date.now()).includes('pro'));

function needOf(signal = new AbortController().signal): Need {
  return {
    kind: 'text',
    modelId: 'pro',
    upstreamModelId: 'pro',
    accountIds: [],
    callerId: 'key',
    signal,
    trace: newTrace('request'),
  };
}

/** Asks the pool, on whose accounts `run` is what happens. */
async function ask(need: Need, run: () => AsyncIterable<string>): Promise<string[] | unknown> {
  try {
    const values = [];
    for await (const value of withAccount(need, run)) values.push(value);
    return values;
  } catch (error) {
    return error;
  }
}

async function* outcome(failure?: GeminiError): AsyncGenerator<string, void, undefined> {
  if (failure) throw failure;
  yield 'ok';
}

const unknownModel = () =>
  outcome(new GeminiError('request', 'no such model', { status: 400, reason: 'UNKNOWN_MODEL' }));

const notOffered = { code: 'invalid_request', param: 'model' };

it('takes no model away when the process has just begun, but says each time that it is not offered', async () => {
  for (let count = 1; count <= 2; count++) {
    const need = needOf();
    expect(await ask(need, unknownModel)).toMatchObject(notOffered);
    expect(need.trace.attempts).toHaveLength(2);
    expect(refusing()).toEqual([false, false]);
  }
});

it('learns that nobody offers a model when that is why a request failed', async () => {
  later();
  expect(await ask(needOf(), unknownModel)).toMatchObject(notOffered);
  expect(refusing()).toEqual([true, true]);
  const need = needOf();
  expect(await ask(need, unknownModel)).toMatchObject(notOffered);
  expect(need.trace.attempts).toEqual([]);
});

it('says that a model is not offered also when a guard keeps it from the other accounts', async () => {
  const open = { failure: new GeminiError('upstream', 'down'), probeAtMs: Infinity, waitMs: 1_000 };
  const need = needOf();
  const failure = await ask(need, () => {
    const guard = { signature: '', accounts: [], requests: [], sinceMs: Date.now(), open };
    poolGuards().set('upstream', guard);
    return unknownModel();
  });
  expect(failure).toMatchObject({ ...notOffered, retryAfterMs: null });
  expect(need.trace.attempts).toHaveLength(1);
});

it('learns nothing of a request whose caller leaves after a refusal', async () => {
  later();
  const leaving = new AbortController();
  const need = needOf(leaving.signal);
  const failure = await ask(need, () => {
    if (need.trace.attempts.length === 1) return unknownModel();
    leaving.abort();
    return outcome(new GeminiError('upstream', 'cut'));
  });
  expect(failure).toMatchObject({ code: 'client_left' });
  expect(need.trace.attempts).toHaveLength(2);
  expect(refusing()).toEqual([false, false]);
});

it('learns nothing of a request that fails for something else after a refusal', async () => {
  later();
  const need = needOf();
  const failure = await ask(need, () =>
    need.trace.attempts.length === 1
      ? unknownModel()
      : outcome(new GeminiError('quota', 'used up', { status: 429 })),
  );
  expect(failure).toMatchObject({ code: 'rate_limited' });
  expect(refusing()).toEqual([false, false]);
});

it('learns for a day of an account that refused what another one served', async () => {
  const need = needOf();
  const answer = await ask(need, () =>
    need.trace.attempts.length === 1 ? unknownModel() : outcome(),
  );
  expect(answer).toEqual(['ok']);
  expect(refusing().filter(Boolean)).toHaveLength(1);
});

it('counts the wait of a caller who leaves while it waits in line, once', async () => {
  await updateSettings({ maxConcurrentPerAccount: 1 });
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const holders = ids.map(() =>
    ask(needOf(), async function* () {
      await held;
      yield 'ok';
    }),
  );
  const leaving = new AbortController();
  const need = needOf(leaving.signal);
  const waiting = ask(need, () => outcome());
  await vi.waitFor(() => expect(queueLength()).toBe(1));
  await new Promise((resolve) => setTimeout(resolve, 60));
  endTrace(need.trace);
  const { queueMs } = need.trace;
  expect(queueMs).toBeGreaterThanOrEqual(55);
  leaving.abort();
  expect(await waiting).toMatchObject({ code: 'client_left' });
  expect(need.trace.queueMs).toBe(queueMs);
  release();
  expect(await Promise.all(holders)).toEqual([['ok'], ['ok']]);
});
