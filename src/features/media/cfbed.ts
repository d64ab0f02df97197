import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { type CfbedConfig, cfbedConfig } from '@/features/media/storage-config';
import { storageFailure } from '@/features/media/storage-failure';
import { settings } from '@/features/settings/settings';
import { Cancellation, type CancelSignal } from '@/platform/cancellation';
import { env } from '@/platform/env';
import { AppError } from '@/platform/errors';
import { parseJson } from '@/platform/parse-json';
import { publicDispatcher } from '@/platform/public-fetch';

const MAX_REPLY_BYTES = 65_536;
const MAX_URL_CHARACTERS = 2_048;

// One transparent pixel.
const TINY_PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
);

/** What is uploaded: its name and type as the image host shall have them. */
export interface CfbedFile {
  path: string;
  name: string;
  mimeType: string;
}

/**
 * Uploads a file to the image host, piece by piece (protocol 24); `signal` gives it up.
 * @returns its public address there
 * @throws AppError `upstream_error`, `upstream_timeout`; no message has an address or the token
 */
export async function uploadToCfbed(
  config: CfbedConfig,
  file: CfbedFile,
  signal: CancelSignal,
): Promise<string> {
  const { size } = await stat(file.path);
  const content = createReadStream(/*turbopackIgnore: true*/ file.path);
  return upload(config, file, content, size, signal);
}

/**
 * Uploads a picture of one pixel, which stays there.
 * @returns its public address, and how long that took
 * @throws AppError `conflict` if no image host is set, else as `uploadToCfbed`
 */
export async function testCfbed(): Promise<{ url: string; durationMs: number }> {
  const config = await cfbedConfig();
  if (!config) throw new AppError('conflict', 'No image host is set. Set cfbedUrl first.');
  const startedAtMs = performance.now();
  const file = { name: 'test.png', mimeType: 'image/png' };
  const url = await upload(
    config,
    file,
    Readable.from([TINY_PNG]),
    TINY_PNG.length,
    new Cancellation(),
  );
  return { url, durationMs: Math.round(performance.now() - startedAtMs) };
}

async function upload(
  config: CfbedConfig,
  file: Omit<CfbedFile, 'path'>,
  content: Readable,
  bytes: number,
  signal: CancelSignal,
): Promise<string> {
  const left = new AbortController();
  const leave = () => left.abort();
  signal.addEventListener('abort', leave);
  if (signal.aborted) leave();
  // One that fails before it is read would end the process; whoever reads it is told all the same.
  content.on('error', () => {});
  try {
    const end = AbortSignal.any([AbortSignal.timeout(config.timeoutMs), left.signal]);
    const answer = await send(config, file, content, bytes, end);
    if (answer.statusCode !== 200) {
      answer.body.on('error', () => {}).destroy();
      throw new AppError('upstream_error', `The image host answers HTTP ${answer.statusCode}.`);
    }
    return publicAddress(config, await readReply(answer));
  } catch (error) {
    throw storageFailure('The image host', error);
  } finally {
    signal.removeEventListener('abort', leave);
    content.destroy();
  }
}

async function send(
  config: CfbedConfig,
  { name, mimeType }: Omit<CfbedFile, 'path'>,
  content: Readable,
  bytes: number,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const { connectTimeoutMs } = await settings();
  const boundary = `----${randomBytes(16).toString('hex')}`;
  const head = Buffer.from(
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: ${mimeType}\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* form(): AsyncGenerator<Buffer, void, undefined> {
    yield head;
    yield* content;
    yield tail;
  }
  return request(uploadUrl(config), {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + bytes + tail.length),
      ...(config.token !== null && { authorization: `Bearer ${config.token}` }),
    },
    body: Readable.from(form()),
    dispatcher: publicDispatcher(env().allowances, connectTimeoutMs),
    signal,
    // The one limit is that of the signal.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

/** The token stands in the address, where the image host looks for it: it must never be told. */
function uploadUrl({ url, token, channel, folder }: CfbedConfig): URL {
  const address = new URL(url);
  const query = {
    ...(token !== null && { authCode: token }),
    uploadChannel: channel,
    serverCompress: 'true',
    autoRetry: 'true',
    uploadNameType: 'default',
    returnFormat: 'default',
    ...(folder !== null && { uploadFolder: folder }),
  };
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address;
}

/** The `src` of the reply. */
async function readReply({ body }: Dispatcher.ResponseData): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += (piece as Buffer).length;
    if (bytes > MAX_REPLY_BYTES) throw unclear();
    pieces.push(piece as Buffer);
  }
  const reply = parseJson(Buffer.concat(pieces).toString());
  const src: unknown = Array.isArray(reply) ? (reply[0] as { src?: unknown } | null)?.src : null;
  if (typeof src !== 'string') throw unclear();
  return src;
}

/**
 * The address of what the image host calls `src`: a path, or a whole URL.
 * @throws AppError `upstream_error` if it is neither
 */
export function publicAddress({ url, publicUrl }: CfbedConfig, src: string): string {
  const base = (publicUrl ?? withoutUpload(url)).replace(/\/+$/, '');
  const address = src.startsWith('/') ? base + src : src;
  if (address.length > MAX_URL_CHARACTERS || !URL.canParse(address)) throw unclear();
  const { protocol, username, password, href } = new URL(address);
  if (!['http:', 'https:'].includes(protocol) || username !== '' || password !== '')
    throw unclear();
  // It stands in markdown, which a bracket would end.
  return href.replaceAll('(', '%28').replaceAll(')', '%29');
}

function withoutUpload(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/upload\/*$/, '');
}

function unclear(): AppError {
  return new AppError('upstream_error', 'The image host answers without the address of the file.');
}
