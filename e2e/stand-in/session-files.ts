import { randomInt, randomUUID } from 'node:crypto';
import { type Content, sha256Of } from './content';
import type { Directive } from './directive';
import { fullName, type StandInSession, type TurnFile } from './sessions';

const maxFiles = 10_000;
const maxAddresses = 10_000;
const maxUploadsWithContent = 200;

/** A file of a session: one that was uploaded, or one that an answer made. */
export interface SessionFile {
  fileId: string;
  session: StandInSession;
  origin: 'USER_UPLOADED' | 'AI_GENERATED';
  fileName: string;
  mimeType: string;
  bytes: number;
  /** In hex; null for a generated file over 1 MiB: `SessionFiles.sha256` counts it out. */
  sha256: string | null;
  /** On the stand-in's clock, in ms. */
  uploadedAt: number;
  /** Null for an upload over 1 MiB, or one before the newest 200: only its sum is kept. */
  content: Content | null;
  /** The directive that made it; it also says how the file is listed and downloaded. */
  order: Directive;
  /** How often it was asked for in a list and for a download, refusals of `not-ready` too. */
  timesListed: number;
  timesDownloaded: number;
}

/** What the maker of a file says of it. */
export type NewFile = Omit<SessionFile, 'fileId' | 'timesListed' | 'timesDownloaded'>;

/** A second address, where the bytes of one download are (upstream-protocol 15). */
export interface MediaAddress {
  file: SessionFile;
  order: Directive;
  /** The connection is cut after so many bytes of the body; infinite: never. */
  cutAtBytes: number;
}

/** The files of all sessions; past 10,000 the oldest is forgotten. */
export class SessionFiles {
  readonly #files = new Map<string, SessionFile>();
  readonly #withContent: SessionFile[] = [];
  readonly #addresses = new Map<string, MediaAddress>();

  /** Oldest first. */
  get all(): SessionFile[] {
    return [...this.#files.values()];
  }

  /** An id that no file has yet. */
  newId(): string {
    return String(randomInt(10 ** 12, 10 ** 14));
  }

  add(fileId: string, file: NewFile): SessionFile {
    const added = { ...file, fileId, timesListed: 0, timesDownloaded: 0 };
    this.#files.set(fileId, added);
    forgetOldest(this.#files, maxFiles);
    if (file.origin === 'USER_UPLOADED') this.#dropOldContent(added);
    return added;
  }

  /** The file when it is of that session, else null. */
  find(session: StandInSession, fileId: string): SessionFile | null {
    const file = this.#files.get(fileId);
    return file?.session.id === session.id ? file : null;
  }

  ofSession(session: StandInSession): SessionFile[] {
    return this.all.filter((file) => file.session.id === session.id);
  }

  /**
   * The SHA-256 of a file, in hex, also of one that is too large to be kept.
   * @throws Error for an unknown file
   */
  async sha256(fileId: string): Promise<string> {
    const file = this.#files.get(fileId);
    if (file === undefined) throw new Error(`the stand-in has no file ${fileId}`);
    if (file.sha256 === null && file.content !== null) file.sha256 = await sha256Of(file.content);
    return file.sha256 ?? '';
  }

  /** A new second address, for a download that is about to be sent there. */
  addressOf(media: MediaAddress): string {
    const token = randomUUID();
    this.#addresses.set(token, media);
    forgetOldest(this.#addresses, maxAddresses);
    return token;
  }

  atAddress(token: string): MediaAddress | null {
    return this.#addresses.get(token) ?? null;
  }

  clear(): void {
    this.#files.clear();
    this.#addresses.clear();
    this.#withContent.length = 0;
  }

  #dropOldContent(added: SessionFile): void {
    if (added.content !== null) this.#withContent.push(added);
    const older = this.#withContent.length > maxUploadsWithContent && this.#withContent.shift();
    if (older) older.content = null;
  }
}

/** What a turn remembers of a file that its question named. */
export function turnFileOf(file: SessionFile): TurnFile {
  const { fileId, sha256, bytes, mimeType, fileName } = file;
  return { fileId, sha256: sha256 ?? '', bytes, mimeType, fileName };
}

/** The file as the control address shows it. */
export function describeFile(file: SessionFile): unknown {
  const { session, content: _, order, ...rest } = file;
  return {
    ...rest,
    session: fullName(session),
    account: session.account.name,
    scenario: order.name,
  };
}

function forgetOldest(map: Map<string, unknown>, limit: number): void {
  if (map.size <= limit) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
