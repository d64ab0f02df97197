import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Accounts, Concurrency, StandInAccount, StandInAccountInit } from './accounts';
import type { CallEntry, CallName } from './call-log';
import type { Clock } from './clock';
import { armFault, type Fault } from './faults';
import type { Quotas, Usage } from './quotas';
import type { SessionFiles } from './session-files';
import type { Sessions } from './sessions';
import type { StandInState } from './state';

/** A running stand-in; steer it by these, or over HTTP by `/__control/…` (README). */
export class StandIn {
  /** Origin without a slash at the end; value of all four GEMINI_*_URL. */
  readonly url: string;
  /** What `startStandIn` was given as accounts, for `seedFile`. */
  readonly seats: readonly StandInAccountInit[];
  readonly #state: StandInState;
  readonly #server: Server;

  constructor(state: StandInState, server: Server, seats: readonly StandInAccountInit[]) {
    this.#state = state;
    this.#server = server;
    this.seats = seats;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  get accounts(): Accounts {
    return this.#state.accounts;
  }

  /** Every call, oldest first; entries are completed in place as their exchange goes on. */
  get log(): readonly CallEntry[] {
    return this.#state.log.entries;
  }

  get sessions(): Sessions {
    return this.#state.sessions;
  }

  /** The files of all sessions, uploaded and generated. */
  get files(): SessionFiles {
    return this.#state.files;
  }

  get clock(): Clock {
    return this.#state.clock;
  }

  /** Chat calls that have arrived and are not done. */
  get openStreams(): number {
    return this.#state.openStreams;
  }

  /** Lock-step streams that wait, each with the number of the piece it has written last. */
  get lockstep(): Record<string, number> {
    return this.#state.lockstep.waiting;
  }

  /** Longer prompts are refused with PROMPT_TOO_LARGE. */
  get promptLimitCharacters(): number {
    return this.#state.promptLimitCharacters;
  }

  set promptLimitCharacters(limit: number) {
    this.#state.promptLimitCharacters = limit;
  }

  /** Larger uploads are refused with 400. */
  get fileLimitBytes(): number {
    return this.#state.fileLimitBytes;
  }

  set fileLimitBytes(limit: number) {
    this.#state.fileLimitBytes = limit;
  }

  get latencyMs(): number {
    return this.#state.latencyMs;
  }

  set latencyMs(latencyMs: number) {
    this.#state.latencyMs = latencyMs;
  }

  /** Calls of that account since the last reset; a kind that never came is missing. */
  counts(accountName: string): Partial<Record<CallName, number>> {
    return this.#state.log.counts(accountName);
  }

  /**
   * Makes an account's calls fail (`'*'`: every account's); null takes all its faults away.
   * @throws Error for an unknown account, or a scenario that the call cannot play.
   */
  setFault(accountName: string, fault: Fault | null): void {
    for (const account of this.#named(accountName)) {
      if (fault === null) account.clearFaults();
      else armFault(account, fault);
    }
  }

  /**
   * Limits what an account (`'*'`: each account) may use a day (upstream-protocol 19), in place of the
   * limits before; null: no limits. What was used today stays. A kind that is used up is refused with
   * 429 and `reason`, by default QUOTA_EXCEEDED; null: without one.
   * @throws Error for an unknown account
   */
  setQuotas(
    accountName: string,
    limits: Quotas | null,
    { reason = 'QUOTA_EXCEEDED' }: { reason?: string | null } = {},
  ): void {
    for (const { quotas } of this.#named(accountName)) {
      quotas.limits = { ...limits };
      quotas.reason = reason;
    }
  }

  /**
   * Says which models the workspace of an account offers (`'*'`: of each account); null: all that the
   * stand-in knows. Others are refused with 400 (upstream-protocol 17.1).
   * @throws Error for an unknown account
   */
  setModels(accountName: string, models: readonly string[] | null): void {
    for (const account of this.#named(accountName)) {
      account.models = models === null ? null : new Set(models);
    }
  }

  /** What the account has used since midnight in Los Angeles, by the adjustable clock. */
  usage(accountName: string): Usage {
    return this.accounts.get(accountName).quotas.usage(this.clock.now());
  }

  /** How many chats of the account are open now, and were at most since the last reset. */
  concurrency(accountName: string): Concurrency {
    return this.accounts.get(accountName).concurrency;
  }

  #named(accountName: string): StandInAccount[] {
    return accountName === '*' ? this.accounts.all : [this.accounts.get(accountName)];
  }

  /** Confirms the last piece of a lock-step stream; false when none of that id waits. */
  ackPiece(id = 'default'): boolean {
    return this.#state.lockstep.acknowledge(id);
  }

  /** Forgets what was seen and ordered; keys and cookies that clients hold stay good. */
  reset(): void {
    this.#state.reset();
  }

  /** Stops at once; open connections are cut. */
  async close(): Promise<void> {
    this.#state.lockstep.clear();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
