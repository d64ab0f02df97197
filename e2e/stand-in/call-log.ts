import type { IncomingHttpHeaders } from 'node:http';

const maxEntries = 50_000;
const dropAtOnce = 5_000;
const maxEntriesWithTexts = 2_000;

export type CallName =
  | 'key'
  | 'refreshcookies'
  | 'setocookie'
  | 'createSession'
  | 'streamAssist'
  | 'deleteSession'
  | 'listSessions'
  | 'addContextFile'
  | 'listSessionFiles'
  | 'downloadFile'
  /** The second address of a download. */
  | 'media'
  | 'other';

/** One call as the stand-in saw it. Times are real time in ms, whatever the stand-in's clock says. */
export interface CallEntry {
  /** Grows by one with every call. */
  number: number;
  at: number;
  /** Null when the call cannot be told to come from a known account. */
  account: string | null;
  call: CallName;
  path: string;
  /** 0 until a reply has begun. */
  status: number;
  /** Why a bearer or a request was refused, in plain words. */
  refusal: string | null;
  /** Headers of upstream-protocol 6 that a widget call lacked. */
  missingHeaders: readonly string[];
  /** When the connection was done with this call; null while it runs. */
  endedAt: number | null;
  /** True when the client left before the reply was complete. */
  aborted: boolean;
  /** Kept for the newest calls only, and not at all with `recordTexts: false`; the same for headers. */
  bodyText: string | null;
  headers: IncomingHttpHeaders | null;
}

/** What is known of a call when it arrives. */
export type Arrival = Omit<CallEntry, 'number' | 'status' | 'endedAt' | 'aborted'>;

/** The calls, oldest first, at most 50,000; and their number per account. */
export class CallLog {
  readonly entries: CallEntry[] = [];
  readonly #recordTexts: boolean;
  readonly #counts = new Map<string, Map<CallName, number>>();
  #number = 0;

  constructor(recordTexts: boolean) {
    this.#recordTexts = recordTexts;
  }

  /** Writes down a call that has just arrived; the entry is completed in place. */
  add(arrival: Arrival): CallEntry {
    this.#number += 1;
    // Field by field: spreading costs more than the rest of the call's book-keeping.
    const entry: CallEntry = {
      number: this.#number,
      at: arrival.at,
      account: arrival.account,
      call: arrival.call,
      path: arrival.path,
      status: 0,
      refusal: arrival.refusal,
      missingHeaders: arrival.missingHeaders,
      endedAt: null,
      aborted: false,
      bodyText: this.#recordTexts ? arrival.bodyText : null,
      headers: this.#recordTexts ? arrival.headers : null,
    };
    this.entries.push(entry);
    if (this.#recordTexts) this.#dropOldTexts();
    if (this.entries.length >= maxEntries) this.entries.splice(0, dropAtOnce);
    if (entry.account !== null) this.#count(entry.account, entry.call);
    return entry;
  }

  /** Calls of one account since the start or the last reset; a call that never came is missing. */
  counts(account: string): Partial<Record<CallName, number>> {
    return Object.fromEntries(this.#counts.get(account) ?? []);
  }

  clear(): void {
    this.entries.length = 0;
    this.#counts.clear();
  }

  #dropOldTexts(): void {
    const older = this.entries[this.entries.length - 1 - maxEntriesWithTexts];
    if (older === undefined) return;
    older.bodyText = null;
    older.headers = null;
  }

  #count(account: string, call: CallName): void {
    const counts = this.#counts.get(account) ?? new Map<CallName, number>();
    counts.set(call, (counts.get(call) ?? 0) + 1);
    this.#counts.set(account, counts);
  }
}
