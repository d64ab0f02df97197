import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import type { Browser } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser';
import { type Pool, startPool } from '../support/pool';

const program = `
  import OpenAI from 'openai';
  globalThis.ask = async (baseURL, apiKey) => {
    const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, dangerouslyAllowBrowser: true });
    const messages = [{ role: 'user', content: 'Please: [[text value="from 浏览器 😀" size=3]]' }];
    const { data, response } = await client.chat.completions
      .create({ model: 'gemini-enterprise', messages })
      .withResponse();
    const pieces = [];
    for await (const chunk of await client.chat.completions.create({
      model: 'gemini-enterprise',
      messages,
      stream: true,
    })) {
      pieces.push(chunk.choices[0].delta.content ?? '');
    }
    const wrong = new OpenAI({ baseURL, apiKey: 'sk-wrong', maxRetries: 0, dangerouslyAllowBrowser: true });
    const error = await wrong.models.list().catch((reason) => reason);
    return {
      content: data.choices[0].message.content,
      requestId: response.headers.get('x-request-id'),
      streamed: pieces.join(''),
      pieces: pieces.length,
      error: [error.constructor.name, error.status, error.requestID],
    };
  };
`;

describe('in a browser', () => {
  let pool: Pool;
  let site: Server;
  let browser: Browser;

  beforeAll(async () => {
    pool = await startPool();
    const { outputFiles } = await build({
      stdin: { contents: program, resolveDir: import.meta.dirname },
      bundle: true,
      format: 'esm',
      platform: 'browser',
      write: false,
    });
    const script = outputFiles[0]?.text ?? '';
    site = createServer((request, response) => {
      const isScript = request.url === '/program.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(
        isScript
          ? script
          : '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/program.js"></script>',
      );
    }).listen(0, '127.0.0.1');
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    site?.close();
    await pool?.close();
  });

  it('the openai SDK on a page of another origin chats, streams, and gets typed errors', async () => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.ask');
    const result = await page.evaluate(
      `ask(${JSON.stringify(`${pool.server.url}/v1`)}, ${JSON.stringify(pool.key)})`,
    );
    expect(result).toMatchObject({
      content: 'from 浏览器 😀',
      requestId: expect.stringMatching(/^req_/),
      streamed: 'from 浏览器 😀',
      error: ['AuthenticationError', 401, expect.stringMatching(/^req_/)],
    });
    expect((result as { pieces: number }).pieces).toBeGreaterThan(3);
    await page.close();
  });

  it.each([
    ['en', 'Base URL for OpenAI clients'],
    ['zh', '接下来'],
  ])('the first page tells the base URL and the next commands (%s)', async (locale, words) => {
    const context = await browser.newContext({ locale, viewport: { width: 390, height: 844 } });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const response = await page.goto(`${pool.server.url}/`);
    expect(response?.headers()['content-security-policy']).toContain("frame-ancestors 'none'");
    const text = await page.locator('main').innerText();
    expect(text).toContain(`${pool.server.url}/v1`);
    expect(text).toContain('npm run key -- create');
    expect(text).toContain(words);
    expect(await page.locator('html').getAttribute('lang')).toBe(locale);
    const overflows = await page.evaluate(
      'document.documentElement.scrollWidth > document.documentElement.clientWidth',
    );
    expect(overflows).toBe(false);
    expect(complaints).toEqual([]);
    await context.close();
  });
});
