import { describe, expect, it } from 'vitest';
import { parseLegacyConfig } from '@/features/transfer/legacy-config';

const account = {
  team_id: '0b9d2c34-0000-4000-8000-000000000001',
  secure_c_ses: 'CSE.secret',
  host_c_oses: 'COS.secret',
  csesidx: 1234567890,
  user_agent: 'Mozilla/5.0',
  available: 'false',
  tempmail_url: 'https://mail.example.com/?jwt=secret',
  tempmail_name: 'first@example.com',
};

const parse = (value: unknown) => parseLegacyConfig(JSON.stringify(value));

describe('parseLegacyConfig', () => {
  it('reads an account with stray types', () => {
    expect(parse({ accounts: [account] }).accounts).toEqual([
      {
        label: 'first@example.com',
        csesidx: '1234567890',
        configId: account.team_id,
        secureCSes: 'CSE.secret',
        hostCOses: 'COS.secret',
        userAgent: 'Mozilla/5.0',
        mailboxName: 'first@example.com',
        mailboxUrl: account.tempmail_url,
        enabled: false,
      },
    ]);
  });

  it('takes a single account, and a bare list', () => {
    expect(parse(account).accounts).toHaveLength(1);
    expect(parse([account]).accounts).toHaveLength(1);
  });

  it('leaves out incomplete accounts and says why, without a secret', () => {
    const { accounts, warnings } = parse({
      accounts: [{ ...account, secure_c_ses: '' }, { ...account, csesidx: 'x' }, 'nonsense'],
    });
    expect(accounts).toEqual([]);
    expect(warnings).toHaveLength(3);
    expect(warnings.join()).toContain('secureCSes is missing');
    expect(warnings.join()).not.toContain('secret');
  });

  it('lets the later of two with one csesidx win', () => {
    const { accounts, warnings } = parse({
      accounts: [account, { ...account, secure_c_ses: 'CSE.newer' }],
    });
    expect(accounts.map((one) => one.secureCSes)).toEqual(['CSE.newer']);
    expect(warnings).toHaveLength(1);
  });

  it('binds a model to its account by position, through what was left out', () => {
    const { models, warnings } = parse({
      accounts: [{ ...account, csesidx: '' }, account],
      models: [
        { id: 'all', account_index: -1, enabled: 'True', context_length: '32768' },
        { id: 'one', account_index: '1', api_model_id: 'gemini-2.5-pro', name: 'One' },
        { id: 'lost', account_index: 0 },
        { id: 'gemini-image', api_model_id: 'gemini-image' },
      ],
    });
    expect(models.map(({ definition, accountIndex }) => [definition.id, accountIndex])).toEqual([
      ['all', null],
      ['one', 0],
      ['gemini-image', null],
    ]);
    expect(models[2]?.definition).toMatchObject({ upstreamModelId: null, tools: ['image'] });
    expect(models[0]?.definition).toMatchObject({
      enabled: true,
      contextLength: 32_768,
      tools: ['web_search'],
    });
    expect(models[1]?.definition).toMatchObject({
      displayName: 'One',
      upstreamModelId: 'gemini-2.5-pro',
    });
    expect(warnings).toHaveLength(2);
  });

  it('leaves out what the database could not take', () => {
    const { models, warnings } = parse({
      accounts: [],
      models: [
        { id: 'one', name: 'First', context_length: 1e12, max_tokens: 1.5 },
        { id: 'one', name: 'Second' },
        { id: 'two', context_length: -1, max_tokens: '4096' },
      ],
    });
    expect(models.map(({ definition }) => definition)).toMatchObject([
      { id: 'one', displayName: 'First', contextLength: 1_048_576, maxTokens: 65_536 },
      { id: 'two', contextLength: 1_048_576, maxTokens: 4096 },
    ]);
    expect(warnings).toHaveLength(1);
  });

  it('takes the proxy only where it is switched on and of a kind that we can use', () => {
    const proxy = 'socks5://user:word@127.0.0.1:1080';
    expect(parse({ accounts: [], proxy, proxy_enabled: true }).proxyUrl).toBe(proxy);
    expect(parse({ accounts: [], proxy, proxy_enabled: 'false' }).proxyUrl).toBeNull();
    const wrong = parse({ accounts: [], proxy: 'ftp://x', proxy_enabled: true });
    expect(wrong.proxyUrl).toBeNull();
    expect(wrong.warnings).toHaveLength(1);
  });

  it.each(['', 'nonsense', '7', '{}', '{"accounts": {}}', '{"accounts": [], "models": 1}'])(
    'refuses %j',
    (json) => {
      expect(() => parseLegacyConfig(json)).toThrow(/file/);
    },
  );
});
