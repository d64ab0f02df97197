import { Accounts, type StandInAccount, type StandInAccountInit } from './accounts';
import { type Arrival, CallLog, type CallName } from './call-log';
import { Clock } from './clock';
import type { Exchange } from './exchange';
import { KeyRing } from './jwt';
import { Lockstep } from './lockstep';
import { SessionFiles } from './session-files';
import { Sessions } from './sessions';

/** Model ids of upstream-protocol 10.1 that are not in doubt. */
const knownModels = [
  'gemini-2.5-flash',
  'gemini-2.5-pro',
  'gemini-3-pro-preview',
  'gemini-3-flash-preview',
  'gemini-3.1-pro-preview',
  'gemini-3.8-flash',
];

/** About the window of a million tokens. */
const defaultPromptLimitCharacters = 4_000_000;
/** What PDFs may have (upstream-protocol 13.3), as far as a body of 128 MiB holds it. */
const defaultFileLimitBytes = 95 * 1024 * 1024;

export interface StandInOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  /** Default: the demo accounts 1 to 3. */
  accounts?: readonly StandInAccountInit[];
  /** Time before every reply of the upstream. */
  latencyMs?: number;
  /** Time between the pieces of an answer, unless its scenario says otherwise. */
  pieceDelayMs?: number;
  /** False keeps no bodies, headers and prompts: for benchmarks and long runs. */
  recordTexts?: boolean;
  models?: readonly string[];
}

/** Everything that the parts of one stand-in share. */
export class StandInState {
  readonly clock = new Clock();
  readonly accounts: Accounts;
  readonly keys = new KeyRing();
  readonly sessions: Sessions;
  readonly files = new SessionFiles();
  readonly log: CallLog;
  readonly lockstep = new Lockstep();
  readonly models: ReadonlySet<string>;
  latencyMs: number;
  pieceDelayMs: number;
  promptLimitCharacters = defaultPromptLimitCharacters;
  /** Larger uploads are refused. */
  fileLimitBytes = defaultFileLimitBytes;
  /** Chat calls that have arrived and are not done. */
  openStreams = 0;

  constructor(options: StandInOptions, accounts: readonly StandInAccountInit[]) {
    const recordTexts = options.recordTexts ?? true;
    this.accounts = new Accounts(accounts);
    this.sessions = new Sessions(recordTexts);
    this.log = new CallLog(recordTexts);
    this.models = new Set(options.models ?? knownModels);
    this.latencyMs = options.latencyMs ?? 0;
    this.pieceDelayMs = options.pieceDelayMs ?? 0;
  }

  /** Writes an arriving call into the log, then waits for the latency that is set. */
  async arrive(
    exchange: Exchange,
    call: CallName,
    account: StandInAccount | null,
    details: Partial<Pick<Arrival, 'refusal' | 'bodyText' | 'missingHeaders'>> = {},
  ): Promise<void> {
    const entry = this.log.add({
      at: exchange.at,
      account: account?.name ?? null,
      call,
      path: exchange.path,
      refusal: details.refusal ?? null,
      missingHeaders: details.missingHeaders ?? [],
      bodyText: details.bodyText ?? null,
      headers: exchange.request.headers,
    });
    exchange.follow(entry);
    if (this.latencyMs > 0) await exchange.sleep(this.latencyMs);
  }

  /**
   * Forgets what was seen and what was ordered: log, counts, sessions, files, faults, quotas and
   * their use, clock, limits; waiting lock-step streams are cut. Keys and cookies stay good, since clients
   * still hold them.
   */
  reset(): void {
    this.log.clear();
    this.sessions.clear();
    this.files.clear();
    this.lockstep.clear();
    this.clock.offsetMs = 0;
    this.promptLimitCharacters = defaultPromptLimitCharacters;
    this.fileLimitBytes = defaultFileLimitBytes;
    for (const account of this.accounts.all) account.reset();
  }
}
