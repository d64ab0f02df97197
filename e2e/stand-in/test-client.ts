import { createHmac } from 'node:crypto';
import type { StandInAccountInit } from './accounts';
import type { StandIn } from './handle';

/** A signing key as the key host hands it out. */
export interface TestKey {
  xsrfToken: string;
  keyId: string;
}

/** A part of an answer: text or a file. */
interface TestContent {
  text?: string;
  thought?: boolean;
  file?: { fileId: string; mimeType: string };
  inlineData?: { mimeType: string; data: string };
}

/** An entry of a session's list of files. */
export interface TestMetadata {
  fileId: string;
  name: string;
  mimeType: string;
  session: string;
  byteSize: string;
  fileOriginType: string;
}

/** Which parts of a text rest on which pages. */
interface TestGrounding {
  segments?: { startIndex?: string; endIndex: string; referenceIndices: number[] }[];
  references: { documentMetadata: { uri: string } }[];
}

/** An element of an answer, as far as the tests look into it. */
export interface TestElement {
  uToken?: string;
  error?: { code: number; status: string; details?: { reason: string }[] };
  streamAssistResponse?: {
    answer: {
      state: string;
      replies?: {
        groundedContent: { content: TestContent; textGroundingMetadata?: TestGrounding };
      }[];
      assistSkippedReasons?: string[];
      customerPolicyEnforcementResult?: { verdict: string };
    };
    sessionInfo: { session?: string };
  };
}

const api = '/v1alpha/locations/global/widget';
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** The smallest client of the protocol, written for the tests of the stand-in alone. */
export class TestClient {
  readonly standIn: StandIn;
  readonly account: StandInAccountInit;

  constructor(standIn: StandIn, account: StandInAccountInit) {
    this.standIn = standIn;
    this.account = account;
  }

  get cookies(): string {
    const { secure_c_ses, host_c_oses } = this.account;
    return `__Secure-C_SES=${secure_c_ses}; __Host-C_OSES=${host_c_oses}`;
  }

  askKey(cookie = this.cookies, address = this.keyAddress): Promise<Response> {
    return fetch(address, { headers: { cookie }, redirect: 'manual' });
  }

  get keyAddress(): string {
    return `${this.standIn.url}/auth/getoxsrf?csesidx=${this.account.csesidx}`;
  }

  async key(): Promise<TestKey> {
    return guarded<TestKey>(await this.askKey());
  }

  /** A bearer by upstream-protocol 5; `changes` spoil its header or claims. */
  sign(key: TestKey, changes: { header?: object; claims?: object; nowMs?: number } = {}): string {
    const now = Math.floor((changes.nowMs ?? this.standIn.clock.now()) / 1000);
    const claims = {
      iss: 'https://business.gemini.google',
      aud: 'https://biz-discoveryengine.googleapis.com',
      sub: `csesidx/${this.account.csesidx}`,
      iat: now,
      exp: now + 300,
      nbf: now,
      ...changes.claims,
    };
    const header = { alg: 'HS256', typ: 'JWT', kid: key.keyId, ...changes.header };
    const signed = `${base64url(header)}.${base64url(claims)}`;
    const secret = Buffer.from(key.xsrfToken, 'base64url');
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  }

  /** A widget call; `envelope` replaces fields of the body. */
  async call(
    verb: string,
    request: object,
    options: { bearer?: string; signal?: AbortSignal; envelope?: object } = {},
  ): Promise<Response> {
    const bearer = options.bearer ?? this.sign(await this.key());
    const field = `${verb.slice(0, 1).toLowerCase()}${verb.slice(1)}Request`;
    const envelope = { configId: this.account.team_id, additionalParams: { token: '-' } };
    return fetch(`${this.standIn.url}${api}${verb}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${bearer}`,
        'content-type': 'application/json',
        origin: 'https://business.gemini.google',
        referer: 'https://business.gemini.google/',
      },
      body: JSON.stringify({ ...envelope, [field]: request, ...options.envelope }),
      signal: options.signal ?? null,
    });
  }

  async createSession(): Promise<string> {
    const reply = await this.call('CreateSession', { session: { name: '', displayName: '' } });
    const { session } = (await reply.json()) as { session: { name: string } };
    return session.name;
  }

  /** A chat call in a new session, or in the one that is named. */
  async ask(
    prompt: string,
    options: { session?: string; signal?: AbortSignal; request?: object } = {},
  ): Promise<Response> {
    const request = {
      session: options.session ?? (await this.createSession()),
      query: { parts: [{ text: prompt }] },
      filter: '',
      fileIds: [],
      answerGenerationMode: 'NORMAL',
      toolsSpec: { toolRegistry: 'default_tool_registry' },
      assistSkippingMode: 'REQUEST_ASSIST',
      ...options.request,
    };
    return this.call('StreamAssist', request, options.signal ? { signal: options.signal } : {});
  }

  /** An upload of these bytes; `request` replaces fields of it. */
  upload(session: string, bytes: Uint8Array, request: object = {}): Promise<Response> {
    const fileContents = Buffer.from(bytes).toString('base64');
    const file = { name: session, fileName: 'a.txt', mimeType: 'text/plain', fileContents };
    return this.call('AddContextFile', { ...file, ...request });
  }

  /** The id of a file that was just uploaded. */
  async uploaded(session: string, bytes: Uint8Array, request: object = {}): Promise<string> {
    const reply = (await (await this.upload(session, bytes, request)).json()) as {
      addContextFileResponse: { fileId: string };
    };
    return reply.addContextFileResponse.fileId;
  }

  listFiles(session: string, filter?: string): Promise<Response> {
    return this.call('ListSessionFileMetadata', { name: session, filter });
  }

  async metadata(session: string, filter?: string): Promise<TestMetadata[]> {
    const reply = (await (await this.listFiles(session, filter)).json()) as {
      listSessionFileMetadataResponse: { fileMetadata: TestMetadata[] };
    };
    return reply.listSessionFileMetadataResponse.fileMetadata;
  }

  /** The first address of a download, whose redirect is not followed. */
  async askDownload(
    fullSession: string,
    fileId: string,
    options: { prefix?: string; query?: string; bearer?: string } = {},
  ): Promise<Response> {
    const bearer = options.bearer ?? this.sign(await this.key());
    const query = options.query ?? `fileId=${fileId}&alt=media`;
    const path = `${options.prefix ?? ''}/v1alpha/${fullSession}:downloadFile?${query}`;
    const headers = { authorization: `Bearer ${bearer}` };
    return fetch(`${this.standIn.url}${path}`, { headers, redirect: 'manual' });
  }

  /** A whole download, without the bearer at the second address. */
  async download(fullSession: string, fileId: string): Promise<Response> {
    const first = await this.askDownload(fullSession, fileId);
    return first.status === 302 ? fetch(first.headers.get('location') ?? '') : first;
  }

  /** The elements of a whole answer. */
  async elements(prompt: string, options = {}): Promise<TestElement[]> {
    return (await (await this.ask(prompt, options)).json()) as TestElement[];
  }
}

/** The JSON behind the key host's prefix. */
export async function guarded<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (!text.startsWith(")]}'\n")) throw new Error(`no prefix: ${text}`);
  return JSON.parse(text.slice(5)) as T;
}

/** All text of an answer; with `thoughts` only what is marked as thought. */
export function textOf(elements: readonly TestElement[], thoughts = false): string {
  return contentsOf(elements)
    .filter((content) => (content.thought ?? false) === thoughts)
    .map((content) => content.text ?? '')
    .join('');
}

/** The files that an answer names, in order, as often as it names them. */
export function filesOf(elements: readonly TestElement[]): { fileId: string; mimeType: string }[] {
  return contentsOf(elements).flatMap(({ file }) => (file === undefined ? [] : [file]));
}

/** The files that came inside the answer. */
export function inlineOf(elements: readonly TestElement[]): { mimeType: string; bytes: Buffer }[] {
  return contentsOf(elements).flatMap(({ inlineData }) =>
    inlineData === undefined
      ? []
      : [{ mimeType: inlineData.mimeType, bytes: Buffer.from(inlineData.data, 'base64') }],
  );
}

function contentsOf(elements: readonly TestElement[]): TestContent[] {
  return elements
    .flatMap((element) => element.streamAssistResponse?.answer.replies ?? [])
    .map((reply) => reply.groundedContent.content);
}

/** The full session name that the last element gives. */
export function sessionOf(elements: readonly TestElement[]): string {
  return elements.at(-1)?.streamAssistResponse?.sessionInfo.session ?? '';
}

/** The state of the last element. */
export function stateOf(elements: readonly TestElement[]): string | undefined {
  return elements.at(-1)?.streamAssistResponse?.answer.state;
}
