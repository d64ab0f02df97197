import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Busboy, { type BusboyHeaders } from '@fastify/busboy';

/** A file that has arrived; its bytes are not kept. */
interface CfbedUpload {
  name: string;
  type: string;
  bytes: number;
  sha256: string;
  /** Of the request's address, `authCode` too. */
  query: Record<string, string>;
}

/** What goes wrong: an error, no reply, or a page in place of the reply. The body is read all the same. */
type CfbedFault = 'none' | '500' | 'hang' | 'html';

/** A running image bed. */
export interface Cfbed {
  /** Its origin. */
  url: string;
  /** Where files are sent: `url` and `/upload`. */
  endpoint: string;
  token: string;
  fault: CfbedFault;
  /** Calls to the endpoint, refused and spoilt ones too. */
  calls: number;
  /** What was taken, oldest first. */
  uploads: CfbedUpload[];
  close(): Promise<void>;
}

/** Starts a small CloudFlare-ImgBed on 127.0.0.1 (upstream-protocol 24). */
export async function startCfbed(token = 'cfbed-token'): Promise<Cfbed> {
  const server = createServer({ requestTimeout: 0 });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const bed: Cfbed = {
    ...{ url, endpoint: `${url}/upload`, token },
    ...{ fault: 'none', calls: 0, uploads: [], close },
  };
  server.on('request', (request, response) => {
    answer(bed, request, response).catch((error) => {
      if (!response.destroyed) send(response, 400, 'text/plain', String(error));
    });
  });
  return bed;
}

async function answer(bed: Cfbed, request: IncomingMessage, response: ServerResponse) {
  const address = new URL(request.url ?? '/', bed.url);
  if (request.method !== 'POST' || address.pathname !== '/upload') {
    return send(response, 404, 'text/plain', 'Not found');
  }
  bed.calls += 1;
  const query = Object.fromEntries(address.searchParams);
  const isKnown =
    query.authCode === bed.token || request.headers.authorization === `Bearer ${bed.token}`;
  if (!isKnown) {
    request.resume();
    return send(response, 401, 'text/plain', 'Unauthorized');
  }
  const file = await receive(request);
  if (bed.fault === 'hang') return;
  if (bed.fault === '500') return send(response, 500, 'text/plain', 'Error: upload failed');
  if (bed.fault === 'html') return send(response, 200, 'text/html', '<!doctype html><p>Sorry…');
  if (file === null) return send(response, 400, 'text/plain', 'Error: no file');
  bed.uploads.push({ ...file, query });
  const path = `/file/${randomUUID().slice(0, 8)}_${encodeURIComponent(file.name)}`;
  const src = query.returnFormat === 'full' ? `${bed.url}${path}` : path;
  send(response, 200, 'application/json', JSON.stringify([{ src }]));
}

/** The field `file`, summed up while it comes; null when there is none. @throws Error on a broken form. */
function receive(request: IncomingMessage): Promise<Omit<CfbedUpload, 'query'> | null> {
  return new Promise((resolve, reject) => {
    const form = new Busboy({ headers: request.headers as BusboyHeaders });
    let file: Omit<CfbedUpload, 'query'> | null = null;
    form.on('file', (field, stream, name, _encoding, type) => {
      const hash = createHash('sha256');
      let bytes = 0;
      stream.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        bytes += chunk.length;
      });
      stream.on('end', () => {
        if (field === 'file') file = { name, type, bytes, sha256: hash.digest('hex') };
      });
    });
    form.once('finish', () => resolve(file));
    form.once('error', reject);
    request.once('error', reject);
    request.pipe(form);
  });
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': `${type}; charset=utf-8` });
  response.end(body);
}
