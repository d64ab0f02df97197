import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { acceptSocks, refusalOfTarget, socksDone } from './socks-server';

/** Of `localhost`, `upstream.localhost` and 127.0.0.1; for `NODE_EXTRA_CA_CERTS`. */
export const certificateFile = path.join(import.meta.dirname, 'loopback-certificate.pem');

const certificate = () => ({
  cert: fs.readFileSync(certificateFile),
  key: fs.readFileSync(path.join(import.meta.dirname, 'loopback-key.pem')),
});

/** `silent` takes connections and says nothing; `dead` takes none. */
export type ProxyBehaviour =
  | 'works'
  | 'refuses-target'
  | 'wants-other-credentials'
  | 'silent'
  | 'dead';

export interface ProxyOptions {
  kind: 'http' | 'https' | 'socks5';
  /** Without them it takes everyone. */
  credentials?: { user: string; password: string };
}

/** A real proxy on a port of the loopback address. */
export async function startProxy(options: ProxyOptions): Promise<TestProxy> {
  const proxy = new TestProxy(options);
  await proxy.listen(0);
  return proxy;
}

export class TestProxy {
  readonly #options: ProxyOptions;
  readonly #door: net.Server;
  readonly #http: http.Server | null;
  readonly #sockets = new Set<net.Socket>();
  readonly #tunnels: string[] = [];
  #behaviour: ProxyBehaviour = 'works';
  #connections = 0;
  #port = 0;
  #exit: { host: string; port: number } | null = null;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#door = net.createServer((socket) => this.#welcome(socket));
    this.#http = httpServerOf(options.kind);
    this.#http?.on('connect', (request, socket) => this.#answerConnect(request, socket));
  }

  /** Scheme, host and port. */
  get name(): string {
    return `${this.#options.kind}://127.0.0.1:${this.#port}`;
  }

  /** With the credentials in it. */
  get url(): string {
    const { credentials } = this.#options;
    if (!credentials) return this.name;
    const words = [credentials.user, credentials.password].map(encodeURIComponent);
    return this.name.replace('//', `//${words.join(':')}@`);
  }

  /** Where every tunnel ends, whatever was asked for: what it is asked for need not exist. */
  leadsTo(url: string): void {
    const { hostname, port } = new URL(url);
    this.#exit = { host: hostname, port: Number(port) };
  }

  /** TCP connections so far. */
  connections(): number {
    return this.#connections;
  }

  /** `host:port` of each tunnel that was made. */
  tunnels(): string[] {
    return [...this.#tunnels];
  }

  async listen(port: number): Promise<void> {
    this.#door.listen(port, '127.0.0.1');
    await once(this.#door, 'listening');
    this.#port = (this.#door.address() as AddressInfo).port;
  }

  /** From now on; cuts all connections. */
  async become(behaviour: ProxyBehaviour): Promise<void> {
    this.#behaviour = behaviour;
    for (const socket of this.#sockets) socket.destroy();
    if (behaviour === 'dead') await new Promise((resolve) => this.#door.close(resolve));
    else if (!this.#door.listening) await this.listen(this.#port);
  }

  async close(): Promise<void> {
    if (this.#door.listening) await this.become('dead');
  }

  #welcome(socket: net.Socket): void {
    this.#connections += 1;
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    if (this.#behaviour === 'silent') return;
    if (this.#http) this.#http.emit('connection', socket);
    else this.#answerSocks(socket).catch(() => socket.destroy());
  }

  #answerConnect(request: http.IncomingMessage, socket: Duplex): void {
    socket.on('error', () => {});
    const refuse = (line: string) => socket.end(`HTTP/1.1 ${line}\r\ncontent-length: 0\r\n\r\n`);
    if (!this.#knows(request.headers['proxy-authorization'] ?? '')) {
      refuse('407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="test"');
    } else if (this.#behaviour === 'refuses-target') {
      refuse('502 Bad Gateway');
    } else {
      this.#tunnel(request.url ?? '', socket, () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      });
    }
  }

  #knows(authorization: string): boolean {
    const { credentials } = this.#options;
    if (this.#behaviour === 'wants-other-credentials') return false;
    if (!credentials) return true;
    const { user, password } = credentials;
    return authorization === `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }

  async #answerSocks(socket: net.Socket): Promise<void> {
    const { credentials } = this.#options;
    const wanted =
      this.#behaviour === 'wants-other-credentials' ? { user: 'other', password: '' } : credentials;
    const target = await acceptSocks(socket, wanted ?? null);
    if (target === null) return;
    if (this.#behaviour === 'refuses-target') socket.end(refusalOfTarget);
    else this.#tunnel(target, socket, () => socket.write(socksDone));
  }

  #tunnel(target: string, socket: Duplex, onOpen: () => void): void {
    const [host = '', port] = target.split(/:(?=\d+$)/);
    const upstream = net.connect(this.#exit ?? { host, port: Number(port) }, () => {
      this.#tunnels.push(target);
      onOpen();
      join(socket, upstream);
    });
    upstream.on('error', () => socket.destroy());
  }
}

function httpServerOf(kind: ProxyOptions['kind']): http.Server | null {
  if (kind === 'socks5') return null;
  return kind === 'https' ? https.createServer(certificate()) : http.createServer();
}

function join(left: Duplex, right: Duplex): void {
  left.on('close', () => right.destroy()).pipe(right);
  right.on('close', () => left.destroy()).pipe(left);
}

/** TLS in front of a plain HTTP server, so that a tunnel leads to what the real upstream speaks. */
export async function startTls(
  toUrl: string,
): Promise<{ url: string; close: () => Promise<void> }> {
  const { hostname, port } = new URL(toUrl);
  const sockets = new Set<Duplex>();
  const server = tls.createServer(certificate(), (socket) => {
    const upstream = net.connect(Number(port), hostname).on('error', () => {});
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)));
    join(socket, upstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
