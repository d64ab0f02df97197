import { createHash, randomUUID } from 'node:crypto';
import type { Directive } from './directive';
import { DailyQuotas } from './quotas';

/** One seat as a test describes it; the field names are those of the seed's account file. */
export interface StandInAccountInit {
  name: string;
  secure_c_ses: string;
  /** Without it the key host does not ask for the cookie until it has set one itself. */
  host_c_oses?: string;
  csesidx: string;
  team_id: string;
  user_agent?: string;
}

/** The seed's account file (upstream-protocol 3.1), as the product imports it. */
export interface SeedFile {
  accounts: {
    team_id: string;
    secure_c_ses: string;
    host_c_oses: string;
    csesidx: string;
    user_agent: string;
    available: true;
  }[];
  models: [];
}

/** The calls that a fault can be put on. */
export type FaultCall =
  | 'key'
  | 'createSession'
  | 'streamAssist'
  | 'addContextFile'
  | 'listSessionFiles'
  | 'downloadFile';

interface ArmedFault {
  directive: Directive;
  timesLeft: number;
  /** Real time in ms; infinite: it has no end. */
  endsAtMs: number;
}

/** How many chats an account has open now, and had at most since the last reset. */
export interface Concurrency {
  open: number;
  peak: number;
}

const defaultUserAgent =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';

/** One seat of the stand-in: its cookies as they are now, and what it is told to do wrong. */
export class StandInAccount {
  readonly name: string;
  readonly csesidx: string;
  readonly teamId: string;
  /** The number in the full form of this account's session names. */
  readonly projectNumber: string;
  /** What the first element of an answer carries; shaped like a token, good for nothing. */
  readonly uToken: string;
  /** The rotation that the key host demands before it hands out a key again. */
  rotation: Directive | null = null;
  readonly quotas = new DailyQuotas();
  /** What its workspace offers; null: all that the stand-in knows. */
  models: ReadonlySet<string> | null = null;

  readonly #secure: RotatingCookie;
  readonly #host: RotatingCookie;
  readonly #faults = new Map<FaultCall, ArmedFault>();
  #rotationTicket: string | null = null;
  #concurrency: Concurrency = { open: 0, peak: 0 };

  constructor(init: StandInAccountInit) {
    this.name = init.name;
    this.csesidx = init.csesidx;
    this.teamId = init.team_id;
    this.projectNumber = digits(`project ${init.csesidx}`, 12);
    this.uToken = ['header', 'payload', 'signature'].map((part) => opaque(part, 24)).join('.');
    this.#secure = new RotatingCookie(init.secure_c_ses);
    this.#host = new RotatingCookie(init.host_c_oses ?? '');
  }

  /** The cookie values that the key host accepts now. */
  get cookies(): { secure_c_ses: string; host_c_oses: string } {
    return { secure_c_ses: this.#secure.value, host_c_oses: this.#host.value };
  }

  /**
   * Judges a Cookie header as the key host does: null is good, else the status word of the refusal.
   * `__Host-C_OSES` may be missing until it was rotated (upstream-protocol 3.2).
   */
  judgeCookies(header: string | undefined): 'INVALID_COOKIES' | 'EXPIRED_SIGN_IN' | null {
    const cookies = parseCookies(header ?? '');
    const secure = cookies.get('__Secure-C_SES');
    if (secure === undefined) return 'INVALID_COOKIES';
    if (!this.#secure.accepts(secure)) return 'EXPIRED_SIGN_IN';
    const host = cookies.get('__Host-C_OSES');
    if (host === undefined) return this.#host.generation === 0 ? null : 'INVALID_COOKIES';
    if (this.#host.value === '') return null;
    return this.#host.accepts(host) ? null : 'INVALID_COOKIES';
  }

  /** A ticket for one cookie-setting hop; an older ticket stops to count. */
  issueRotationTicket(): string {
    this.#rotationTicket = randomUUID();
    return this.#rotationTicket;
  }

  /** Renews the cookies when the ticket is the last one issued; the old values die at once. */
  rotate(ticket: string | null, alsoSecure: boolean): boolean {
    if (ticket === null || ticket !== this.#rotationTicket) return false;
    this.#rotationTicket = null;
    this.rotation = null;
    this.#host.advance();
    if (alsoSecure) this.#secure.advance();
    return true;
  }

  get concurrency(): Concurrency {
    return { ...this.#concurrency };
  }

  /** Notes that a chat is open, until `closed` resolves. */
  chatOpened(closed: Promise<void>): void {
    const now = this.#concurrency;
    now.open += 1;
    now.peak = Math.max(now.peak, now.open);
    closed.then(() => {
      now.open -= 1;
    });
  }

  /** Puts a fault on a call, in place of the one before, for so many calls and so long. */
  armFault(call: FaultCall, directive: Directive, times: number, forMs: number): void {
    this.#faults.set(call, { directive, timesLeft: times, endsAtMs: Date.now() + forMs });
  }

  /** Forgets faults, quotas, usage, models and the peak; cookies stay. */
  reset(): void {
    this.models = null;
    this.clearFaults();
    this.quotas.clear();
    this.#concurrency.peak = this.#concurrency.open;
  }

  /** Takes away every fault and a rotation that was still due. */
  clearFaults(): void {
    this.#faults.clear();
    this.rotation = null;
  }

  /** The fault to play for this call, counted as one use; null when there is none. */
  takeFault(call: FaultCall): Directive | null {
    const fault = this.#faults.get(call);
    if (fault === undefined) return null;
    fault.timesLeft -= 1;
    const isOver = Date.now() >= fault.endsAtMs;
    if (isOver || fault.timesLeft <= 0) this.#faults.delete(call);
    return isOver ? null : fault.directive;
  }
}

/**
 * A cookie whose later values are derived from the first. A stand-in that was started anew meets
 * clients with later values than it knows; it recognises these and goes on from them.
 */
class RotatingCookie {
  generation = 0;
  readonly #first: string;

  constructor(first: string) {
    this.#first = first;
  }

  get value(): string {
    return this.#at(this.generation);
  }

  accepts(value: string): boolean {
    if (value === this.value) return true;
    const generation = Number(/\.r(\d{1,6})$/.exec(value)?.[1] ?? 0);
    if (generation <= this.generation || value !== this.#at(generation)) return false;
    this.generation = generation;
    return true;
  }

  advance(): void {
    this.generation += 1;
  }

  #at(generation: number): string {
    if (generation === 0) return this.#first;
    const digest = opaque(`${this.#first} ${generation}`, 24);
    return `${this.#first === '' ? 'COS.' : this.#first}${digest}.r${generation}`;
  }
}

/** The accounts that a stand-in knows. */
export class Accounts {
  readonly #byName = new Map<string, StandInAccount>();
  readonly #byCsesidx = new Map<string, StandInAccount>();

  constructor(inits: readonly StandInAccountInit[]) {
    for (const init of inits) this.add(init);
  }

  /** In the order in which they were added. */
  get all(): StandInAccount[] {
    return [...this.#byName.values()];
  }

  /** Adds a seat, or starts an existing one of that name anew. */
  add(init: StandInAccountInit): StandInAccount {
    const account = new StandInAccount(init);
    const before = this.#byName.get(init.name);
    if (before !== undefined) this.#byCsesidx.delete(before.csesidx);
    this.#byName.set(account.name, account);
    this.#byCsesidx.set(account.csesidx, account);
    return account;
  }

  /** @throws Error when there is no account of that name. */
  get(name: string): StandInAccount {
    const account = this.#byName.get(name);
    if (account === undefined) throw new Error(`the stand-in has no account ${name}`);
    return account;
  }

  byCsesidx(csesidx: string): StandInAccount | null {
    return this.#byCsesidx.get(csesidx) ?? null;
  }
}

/** The n-th demo seat; the same values at every start, so that a data folder outlives the stand-in. */
export function demoAccount(n: number): Required<StandInAccountInit> {
  return {
    name: `demo-${n}`,
    secure_c_ses: `CSE.${opaque(`secure ${n}`, 48)}`,
    host_c_oses: `COS.${opaque(`host ${n}`, 48)}`,
    csesidx: digits(`csesidx ${n}`, 10),
    team_id: uuid(`team ${n}`),
    user_agent: defaultUserAgent,
  };
}

/** The first `count` demo accounts. */
export function demoAccounts(count: number): Required<StandInAccountInit>[] {
  return Array.from({ length: count }, (_, index) => demoAccount(index + 1));
}

/** The account file that makes the product know these seats. */
export function seedFile(accounts: readonly StandInAccountInit[]): SeedFile {
  return {
    accounts: accounts.map((account) => ({
      team_id: account.team_id,
      secure_c_ses: account.secure_c_ses,
      host_c_oses: account.host_c_oses ?? '',
      csesidx: account.csesidx,
      user_agent: account.user_agent ?? defaultUserAgent,
      available: true,
    })),
    models: [],
  };
}

function parseCookies(header: string): Map<string, string> {
  const cookies = new Map<string, string>();
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0) cookies.set(pair.slice(0, equals).trim(), pair.slice(equals + 1).trim());
  }
  return cookies;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(`stand-in ${text}`).digest();
}

function opaque(text: string, length: number): string {
  const first = sha256(text);
  return Buffer.concat([first, sha256(`${text} more`)])
    .toString('base64url')
    .slice(0, length);
}

function digits(text: string, length: number): string {
  const smallest = 10n ** BigInt(length - 1);
  return String(smallest + (sha256(text).readBigUInt64BE() % (9n * smallest)));
}

function uuid(text: string): string {
  const hex = sha256(text).toString('hex');
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`];
  return [...groups, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
