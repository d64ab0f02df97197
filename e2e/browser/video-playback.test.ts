import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type OpenAI from 'openai';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/browser';
import { type Pool, question, startPool } from '../support/pool';

const MIB = 1_048_576;

/** Waits for an event of a medium, which may have come before. */
const program = `
  globalThis.until = (medium, event, isSo) => isSo() ? null : new Promise((resolve, reject) => {
    medium.addEventListener(event, resolve, { once: true });
    medium.addEventListener('error', () => reject(new Error(medium.error?.message)), { once: true });
  });
  globalThis.play = async (address) => {
    const video = document.createElement('video');
    Object.assign(video, { src: address, muted: true, crossOrigin: 'anonymous' });
    document.body.append(video);
    await until(video, 'loadedmetadata', () => video.readyState >= 1);
    const { duration, videoWidth, videoHeight } = video;
    await video.play();
    await until(video, 'timeupdate', () => video.currentTime > 0);
    video.pause();
    const places = [];
    for (const place of [duration / 2, duration - 0.1, 0.2]) {
      video.currentTime = place;
      await until(video, 'seeked', () => !video.seeking);
      places.push(Math.abs(video.currentTime - place) < 0.05 && video.readyState >= 2);
    }
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').drawImage(video, 0, 0);
    const isDrawn = canvas.getContext('2d').getImageData(0, 0, 9, 9).data.some((each) => each > 0);
    await video.play();
    await until(video, 'ended', () => video.ended);
    return { duration, videoWidth, videoHeight, places, isDrawn };
  };
  globalThis.show = async (address) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
  };
  globalThis.runAsScript = (address) => new Promise((resolve) => {
    const script = document.createElement('script');
    script.src = address;
    script.onload = () => resolve('loaded');
    script.onerror = () => resolve('refused');
    document.body.append(script);
  });
`;

let pool: Pool;
let browser: Browser;
let context: BrowserContext;
let site: Server;

beforeAll(async () => {
  // A page that takes from others only what they allow it to.
  site = createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    response.end(`<!doctype html><link rel="icon" href="data:,"><body><script>${program}</script>`);
  }).listen(0, '127.0.0.1');
  [pool, browser] = await Promise.all([startPool(), launchBrowser()]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  site?.close();
  await pool?.close();
});
beforeEach(async () => {
  context = await browser.newContext();
});
afterEach(() => context.close());

/** The address of what an order makes. */
async function made(order: string): Promise<string> {
  const { choices } = (await pool.client.chat.completions.create({
    model: 'gemini-enterprise',
    messages: question(order),
  })) as OpenAI.ChatCompletion;
  return /https?:\/\/[^\s)]+/.exec(String(choices[0]?.message.content))?.[0] ?? '';
}

/** A page of another site. */
async function foreignPage(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`http://localhost:${(site.address() as AddressInfo).port}/`);
  return page;
}

const call = (page: Page, name: string, address: string) =>
  page.evaluate(`${name}(${JSON.stringify(address)})`);

describe('on a page of another site', () => {
  it.each([
    ['MP4 whose index comes last', `video bytes=${50 * MIB} index-last=1`, 2],
    ['MP4', `video bytes=${50 * MIB}`, 1],
    ['WebM', `video bytes=${50 * MIB} type=webm`, 1],
  ])('a video of 50 MB plays and seeks: %s', async (_, order, leastRanges) => {
    const address = await made(order);
    const page = await foreignPage();
    const answers: { status: number; range: string | undefined }[] = [];
    page.on('response', (response) => {
      if (response.url() !== address) return;
      answers.push({ status: response.status(), range: response.headers()['content-range'] });
    });
    expect(await call(page, 'play', address)).toEqual({
      duration: expect.closeTo(3, 0),
      videoWidth: expect.any(Number),
      videoHeight: expect.any(Number),
      places: [true, true, true],
      isDrawn: true,
    });
    for (const { status, range } of answers) {
      expect(status).toBe(206);
      expect(range).toMatch(/^bytes \d+-\d+\/\d+$/);
    }
    expect(new Set(answers.map(({ range }) => range)).size).toBeGreaterThanOrEqual(leastRanges);
  });

  it('a picture shows', async () => {
    const page = await foreignPage();
    expect(await call(page, 'show', await made('image width=300 height=200'))).toEqual([300, 200]);
  });

  it('what is made is no script, whatever is in it', async () => {
    const address = await made('image body="GIF89a=1;globalThis.hasRun=true" mime=image/gif');
    expect(address).toMatch(/\.gif$/);
    const page = await foreignPage();
    expect(await call(page, 'runAsScript', address)).toBe('refused');
    expect(await page.evaluate('globalThis.hasRun')).toBeUndefined();
  });
});

describe('in a tab of its own', () => {
  it('a picture shows', async () => {
    const page = await context.newPage();
    await page.goto(await made('image width=300 height=200'));
    const size = '[document.images[0].naturalWidth, document.images[0].naturalHeight]';
    expect(await page.evaluate(size)).toEqual([300, 200]);
  });

  it.each(['mp4', 'webm'])('a video plays: %s', async (type) => {
    const page = await context.newPage();
    await page.goto(await made(`video type=${type}`));
    await page.waitForFunction('document.querySelector("video").readyState >= 2');
    expect(await page.evaluate('document.querySelector("video").videoWidth')).toBeGreaterThan(0);
  });

  it('what looks like a page is none, and runs nothing', async () => {
    const script = '<script>document.title=1</script><img src=x onerror=document.title=1>';
    const address = await made(`image body=${JSON.stringify(`GIF89a${script}`)}`);
    const page = await context.newPage();
    const response = await page.goto(address);
    expect(response?.headers()['content-type']).toBe('image/gif');
    expect(await page.evaluate('document.contentType')).toBe('image/gif');
    expect(await page.evaluate('document.scripts.length')).toBe(0);
    expect(await page.title()).not.toBe('1');
    expect(await page.evaluate('globalThis.origin')).toBe('null');
  });
});
