/**
 * The least that a gateway can do, as the measure of ours: takes an OpenAI request on bare
 * node:http, makes the same two upstream calls, and gives back the upstream's own bytes. It checks,
 * translates, counts and logs nothing. Its argument is the upstream's base URL.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createSessionBody,
  createSessionPath,
  mintHeaders,
  sessionNameOf,
  streamAssistBody,
  streamAssistPath,
  TOKEN_RENEWAL_MS,
} from './upstream';

const upstreamUrl = process.argv[2] ?? '';
const { hostname, port } = new URL(upstreamUrl);
const agent = new http.Agent({ keepAlive: true });

let headers = await mintHeaders(upstreamUrl);
setInterval(async () => {
  headers = await mintHeaders(upstreamUrl);
}, TOKEN_RENEWAL_MS).unref();

const server = http.createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
  passThrough(request, response).catch((error) => {
    if (!response.headersSent) response.writeHead(502);
    response.end(String(error));
  });
});
server.listen(0, '127.0.0.1', 4096, () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
process.once('disconnect', () => process.exit(0));

interface OpenAiRequest {
  messages: { content: string }[];
  stream: boolean;
}

async function passThrough(
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { messages, stream } = JSON.parse(await textOf(request)) as OpenAiRequest;
  const prompt = messages.at(-1)?.content ?? '';
  const session = sessionNameOf(await textOf(await call(createSessionPath, createSessionBody)));
  const answer = await call(streamAssistPath, streamAssistBody(session, prompt));
  if (stream) {
    response.writeHead(200, { 'content-type': 'application/json' });
    answer.pipe(response);
    return;
  }
  const body = await bytesOf(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

function call(path: string, body: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        agent,
        hostname,
        port,
        method: 'POST',
        path,
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
      },
      (reply) => {
        if (reply.statusCode === 200) return resolve(reply);
        reply.resume();
        reject(new Error(`${path} answered ${reply.statusCode}`));
      },
    );
    request.once('error', reject);
    request.end(body);
  });
}

async function textOf(message: http.IncomingMessage): Promise<string> {
  return (await bytesOf(message)).toString();
}

function bytesOf(message: http.IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.once('end', () => resolve(Buffer.concat(chunks)));
    message.once('error', reject);
  });
}
