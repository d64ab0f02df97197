import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Lease } from '@/features/accounts/lease';
import { answer, newChoice, type Piece } from '@/features/chat/answer';
import { noThread } from '@/features/chat/continuation';
import type { Question } from '@/features/chat/question';
import { Settings } from '@/features/settings/schema';
import { isGeminiError } from '@/gemini/errors';
import { stopCachedTables } from '@/platform/cached-table';
import { closeDatabase } from '@/platform/db';
import { makePng } from '../../../e2e/stand-in/png';
import { newDataFolder } from '../../../e2e/support/data-folder';
import { connectionTo } from '../../../e2e/support/gemini-connection';
import { handMadeAccounts } from '../../../e2e/support/hand-made-accounts';

process.env.DATA_DIR = newDataFolder();
process.env.LOG_LEVEL = 'silent';

const question: Question = {
  messages: [],
  attachments: null,
  prompt: () => 'Draw',
  thread: noThread,
  conversationId: null,
  modelId: null,
  tools: ['image'],
  languageCode: 'en-US',
  stop: [],
  maxTokens: null,
  imageFormat: 'markdown',
  mediaBaseUrl: () => 'http://pool.test',
  mayInline: () => true,
  origin: { apiKeyId: 'k', modelId: 'm' },
  settings: Settings.parse({ thoughtsHoldMs: 5_000, sessionStockPerAccount: 0 }),
};

const text = (value: string) => ({ text: value });
const thought = (value: string) => ({ text: value, thought: true });
const file = (fileId: string, mimeType: string) => ({ file: { fileId, mimeType } });
const say = (...contents: object[]) => ({
  streamAssistResponse: {
    answer: { replies: contents.map((content) => ({ groundedContent: { content } })) },
  },
});
const last = { streamAssistResponse: { answer: { state: 'SUCCEEDED' } } };
const error = { error: { code: 500 } };

const picture = makePng('one', 8, 8);
const clip = readFileSync('e2e/stand-in/media/clip.mp4');

const [account] = handMadeAccounts({}).values();
const agent = new Agent();
let asked: unknown;
let elements: object[] = [];
const upstream = http.createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url?.includes(':downloadFile')) {
    response.end(/fileId=v/.test(request.url) ? clip : picture);
    return;
  }
  if (request.url?.endsWith('/widgetListSessionFileMetadata')) {
    response.end('{"listSessionFileMetadataResponse":{}}');
    return;
  }
  if (request.url?.endsWith('/widgetCreateSession')) {
    response.end('{"session":{"name":"sessions/1"}}');
    return;
  }
  asked = JSON.parse(body).streamAssistRequest.toolsSpec;
  response.end(JSON.stringify(elements));
});

/** What the lease was told, in order. */
let told: string[];
let lease: Lease;

beforeAll(() => new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve)));

afterAll(async () => {
  await agent.destroy();
  upstream.close();
  stopCachedTables();
  await closeDatabase();
});

beforeEach(() => {
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  told = [];
  if (!account) throw new Error('no account was made');
  lease = {
    account,
    connection: connectionTo(url, agent),
    signal: new AbortController().signal,
    contentBegan: () => told.push('content'),
    served: (kind) => told.push(kind),
    call: (run) => run({ configId: 'team-1', userAgent: 'test', accessToken: 'a.b.c' }),
  };
});

/** The pieces that come of `sent`, and the reason of the failure if there is one. */
async function answerOf(sent: object[], limits: Partial<Question> = {}) {
  elements = sent;
  const asking = { ...question, ...limits };
  const pieces: Piece[] = [];
  try {
    for await (const batch of answer(lease, asking, newChoice(0, asking), lease.signal)) {
      pieces.push(...batch);
    }
  } catch (failure) {
    if (!isGeminiError(failure)) throw failure;
    return { pieces, reason: failure.reason ?? failure.fault };
  }
  return { pieces };
}

const textOf = (pieces: Piece[]) =>
  pieces
    .map((piece) => (piece.type === 'text' || piece.type === 'media' ? piece.text : ''))
    .join('');

const shown = (kind: string, extension: string) =>
  `http://pool\\.test/${kind}/[0-9a-f]{32}\\.${extension}`;

describe('generated files', () => {
  it('are an answer without a word of text', async () => {
    const { pieces } = await answerOf([say(file('f1', 'image/png')), last]);
    expect(pieces.map(({ type }) => type)).toEqual(['media', 'finish']);
    expect(textOf(pieces)).toMatch(new RegExp(`^!\\[image\\]\\(${shown('image', 'png')}\\)$`));
    expect(told).toEqual(['text', 'images', 'content']);
    expect(asked).toEqual({ imageGenerationSpec: {} });
  });

  it('stand at the end, each once, in their order', async () => {
    const image = file('f1', 'image/png');
    const { pieces } = await answerOf([
      say(thought('Hm.'), text('Here you are:'), image),
      say(image, file('v2', 'video/mp4'), text(' this')),
      say(image, text('. Enjoy!')),
      last,
    ]);
    expect(textOf(pieces)).toMatch(
      new RegExp(
        `^Here you are: this\\. Enjoy!\\n\\n!\\[image\\]\\(${shown('image', 'png')}\\)\\n\\n${shown('video', 'mp4')}$`,
      ),
    );
    expect(told.filter((kind) => kind !== 'content')).toEqual(['text', 'images', 'videos']);
  });

  it('are counted as what they are, when the answer called them something else', async () => {
    await answerOf([say(file('v1', 'application/octet-stream')), last]);
    expect(told).toEqual(['text', 'content', 'videos']);
  });

  it('let go of held thoughts, and commit', async () => {
    const { pieces, reason } = await answerOf([
      say(thought('Hm.')),
      say(file('f1', 'video/mp4')),
      error,
    ]);
    expect(pieces.map(({ type }) => type)).toEqual(['reasoning']);
    expect(reason).toBe('upstream');
    expect(told).toEqual(['text', 'videos', 'content']);
  });

  it('are there where the reply was cut before them', async () => {
    const sent = [say(text('a STOP'), file('f1', 'image/png')), last];
    const { pieces } = await answerOf(sent, { stop: ['STOP'] });
    expect(textOf(pieces)).toMatch(/^a \n\n!\[image\]/);
    expect(told).toContain('images');
  });
});

describe('what an account served', () => {
  it('is a text once, whatever comes first', async () => {
    await answerOf([say(text('a')), say(text('b')), last]);
    expect(told).toEqual(['text', 'content']);
  });

  it('is a text even if nothing but the end comes, or thoughts and a failure', async () => {
    expect(await answerOf([last])).toEqual({ pieces: [], reason: 'EMPTY_ANSWER' });
    expect(await answerOf([say(thought('Hm.')), error])).toEqual({
      pieces: [],
      reason: 'upstream',
    });
    expect(told).toEqual(['text', 'text']);
  });

  it('is nothing if it failed at once', async () => {
    expect(await answerOf([error])).toEqual({ pieces: [], reason: 'upstream' });
    expect(told).toEqual([]);
  });
});
