import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, expectRefused, expectWhole } from '../support/caller';
import { runCommand } from '../support/commands';
import { eventually, type Pool, startPool } from '../support/pool';
import {
  certificateFile,
  type ProxyBehaviour,
  type ProxyOptions,
  startProxy,
  startTls,
  type TestProxy,
} from '../support/proxies';
import { accountRow } from '../support/rows';

/** Nothing listens there: only a proxy finds the way. */
const UPSTREAM = 'upstream.localhost:9';

const CONNECT_MS = 700;
const credentials = { user: 'us er', password: 'proxy:p@ss/w%rd' };

/** A pool whose upstream speaks TLS and is behind the proxies alone. */
async function startBehind(proxies: TestProxy[], env: Record<string, string> = {}) {
  const url = `https://${UPSTREAM}`;
  const pool = await startPool({
    accounts: 2,
    settings: { connectTimeoutMs: CONNECT_MS, faultRestMs: 100, faultRestMaxMs: 200 },
    env: {
      GEMINI_APP_URL: url,
      GEMINI_AUTH_URL: url,
      GEMINI_API_URL: url,
      NODE_EXTRA_CA_CERTS: certificateFile,
      ...env,
    },
  });
  const front = await startTls(pool.standIn.url);
  for (const proxy of proxies) proxy.leadsTo(front.url);
  return {
    pool,
    async close() {
      await pool.close();
      await front.close();
      for (const proxy of proxies) await proxy.close();
    },
  };
}

/** No two alike follow one another: an account that does not serve meanwhile keeps its reason. */
const troubles: [ProxyBehaviour, string][] = [
  ['dead', 'PROXY_UNREACHABLE'],
  ['wants-other-credentials', 'PROXY_AUTH'],
  ['silent', 'PROXY_UNREACHABLE'],
  ['refuses-target', 'PROXY_NO_ROUTE'],
];

describe.each<ProxyOptions['kind']>(['http', 'https', 'socks5'])('one %s proxy for all', (kind) => {
  let proxy: TestProxy;
  let pool: Pool;
  let close: () => Promise<void>;

  beforeAll(async () => {
    proxy = await startProxy({ kind, credentials });
    ({ pool, close } = await startBehind([proxy], { PROXY_URL: proxy.url }));
  });

  afterAll(() => close());

  it.each([true, false])('answers through it, streamed: %s', async (stream) => {
    expectWhole(await ask(pool, 'text value=ok', { stream }), 'ok');
    expect(proxy.tunnels().length).toBeGreaterThan(0);
    expect(new Set(proxy.tunnels())).toEqual(new Set([UPSTREAM]));
  });

  it.each(troubles)(
    'when it is or does "%s", no account is to blame',
    async (behaviour, reason) => {
      const tunnelsBefore = proxy.tunnels().length;
      await proxy.become(behaviour);
      const startedAtMs = Date.now();
      const seen = await ask(pool, 'text value=ok', { stream: behaviour === 'silent' });
      // Each of the two accounts is tried once.
      expect(Date.now() - startedAtMs).toBeLessThan(2 * CONNECT_MS + 1_000);
      expectRefused(seen, 502, 'upstream_error');
      for (const number of [1, 2]) {
        await eventually(async () => (await accountRow(pool, number)).reason === reason);
        const row = await accountRow(pool, number);
        expect(row).toMatchObject({ condition: 'ok', fault: 'egress', reason });
      }
      expect(proxy.tunnels()).toHaveLength(tunnelsBefore);
      await proxy.become('works');
      await eventually(async () => {
        const { status } = await ask(pool, 'text value=ok', { stream: false });
        return status === 200;
      });
    },
  );

  it('tells its password to nobody', () => {
    expect(pool.server.output()).toContain('PROXY_AUTH');
    expect(pool.server.output()).not.toMatch(/p@ss|p%40ss|us er|us%20er/);
  });
});

describe('accounts with exits of their own', () => {
  let own1: TestProxy;
  let own2: TestProxy;
  let common: TestProxy;
  let pool: Pool;
  let close: () => Promise<void>;

  beforeAll(async () => {
    common = await startProxy({ kind: 'http', credentials });
    own1 = await startProxy({ kind: 'http', credentials });
    own2 = await startProxy({ kind: 'socks5', credentials });
    ({ pool, close } = await startBehind([common, own1, own2], { PROXY_URL: common.url }));
    await setProxy(1, own1.url);
    await setProxy(2, own2.url);
  });

  afterAll(() => close());

  /** A running server knows it within a second. */
  async function setProxy(number: number, proxy: string): Promise<void> {
    const args = ['set', `account-${number}`, `proxy=${proxy}`];
    await runCommand('account', args, pool.server.dataDir);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
  }

  const served = () => [common, own1, own2].map((proxy) => proxy.tunnels().length > 0);

  /** Asks until both accounts had their turn, and longer. */
  async function expectAnswers(): Promise<void> {
    for (let turn = 0; turn < 6; turn++) {
      expectWhole(await ask(pool, 'text value=ok', { stream: turn % 2 === 0 }), 'ok');
    }
  }

  it('go out through them, and not through the common one', async () => {
    await expectAnswers();
    expect(served()).toEqual([false, true, true]);
    expect([pool.standIn.counts('demo-1'), pool.standIn.counts('demo-2')]).toEqual([
      expect.objectContaining({ streamAssist: 3 }),
      expect.objectContaining({ streamAssist: 3 }),
    ]);
  });

  it('one dead proxy costs one account, and no caller an answer', async () => {
    await own2.become('dead');
    await expectAnswers();
    await eventually(async () => (await accountRow(pool, 2)).fault === 'egress');
    expect(await accountRow(pool, 2)).toMatchObject({
      condition: 'ok',
      reason: 'PROXY_UNREACHABLE',
    });
    expect(await accountRow(pool, 1)).toMatchObject({ condition: 'ok', fault: null });
    const before = own2.tunnels().length;
    await own2.become('works');
    await eventually(async () => {
      await expectAnswers();
      return own2.tunnels().length > before;
    });
  });

  it('"direct" goes past the common one, and "none" through it', async () => {
    await setProxy(1, 'none');
    await setProxy(2, 'direct');
    await expectAnswers();
    // There is no direct way to this upstream.
    await eventually(async () => (await accountRow(pool, 2)).fault === 'egress');
    expect((await accountRow(pool, 2)).reason).toMatch(/^E[A-Z]+$/);
    expect(served()[0]).toBe(true);
  });

  it('no proxy stands in the database in clear text, nor in the log', async () => {
    const rows = JSON.stringify([await accountRow(pool, 1), await accountRow(pool, 2)]);
    expect(rows).not.toMatch(/127\.0\.0\.1|direct/);
    expect(pool.server.output()).not.toMatch(/p@ss|p%40ss|us er|us%20er/);
  });
});

it('an account that goes direct serves beside a dead common proxy', async () => {
  const common = await startProxy({ kind: 'http' });
  const pool = await startPool({ accounts: 2, env: { PROXY_URL: common.url } });
  try {
    await runCommand('account', ['set', 'account-1', 'proxy=direct'], pool.server.dataDir);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    await common.become('dead');
    for (let turn = 0; turn < 4; turn++) {
      expectWhole(await ask(pool, 'text value=ok', { stream: false }), 'ok');
    }
    expect(pool.standIn.counts('demo-1')).toMatchObject({ streamAssist: 4 });
    expect(pool.standIn.counts('demo-2')).toEqual({});
  } finally {
    await pool.close();
    await common.close();
  }
});
