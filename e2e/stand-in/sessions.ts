import type { StandInAccount } from './accounts';

const maxSessions = 100_000;
const maxTurns = 200;
const engine = 'collections/default_collection/engines/agentspace-engine';
const namePattern = new RegExp(`^(?:projects/\\d+/locations/global/)?${engine}/sessions/(\\d+)$`);

/** A file as it has arrived, or as an answer made it. */
export interface TurnFile {
  fileId: string;
  /** In hex; empty for a generated file over 1 MiB. */
  sha256: string;
  bytes: number;
  mimeType: string;
  fileName: string;
}

/** One question as it arrived. */
export interface Turn {
  /** Real time in ms. */
  at: number;
  account: string;
  /** The exact text of `query.parts`, joined. */
  prompt: string;
  /** Null when the request left the choice to the server. */
  modelId: string | null;
  /** The scenario that was played as answer. */
  scenario: string;
  /** What was answered, thoughts aside, as far as it came. */
  reply: string;
  /** The files that the question names, in its order; those that are unknown are left out. */
  files: TurnFile[];
  /** The files that the answer has made so far, in order. */
  generated: TurnFile[];
  /** The whole `streamAssistRequest`. */
  request: Record<string, unknown>;
}

/** An upstream conversation. */
export interface StandInSession {
  id: string;
  account: StandInAccount;
  displayName: string;
  startedAt: number;
  updatedAt: number;
  turnCount: number;
  /** The newest 200; empty with `recordTexts: false`. */
  turns: Turn[];
}

/** All conversations; past 100,000 the oldest is forgotten. */
export class Sessions {
  readonly #sessions = new Map<string, StandInSession>();
  readonly #recordTexts: boolean;
  #created = 0;

  constructor(recordTexts: boolean) {
    this.#recordTexts = recordTexts;
  }

  /** Oldest first. */
  get all(): StandInSession[] {
    return [...this.#sessions.values()];
  }

  /** Every remembered question of every session, in order of arrival. */
  get turns(): Turn[] {
    return this.all.flatMap((session) => session.turns).sort((a, b) => a.at - b.at);
  }

  create(account: StandInAccount, displayName: string, nowMs: number): StandInSession {
    this.#created += 1;
    // Begins with the time, so that a name from before a restart is never met again.
    const id = `${Date.now()}${String(this.#created % 1_000_000).padStart(6, '0')}`;
    const times = { startedAt: nowMs, updatedAt: nowMs };
    const session = { id, account, displayName, ...times, turnCount: 0, turns: [] };
    this.#sessions.set(id, session);
    if (this.#sessions.size > maxSessions) {
      const oldest = this.#sessions.keys().next();
      if (oldest.done !== true) this.#sessions.delete(oldest.value);
    }
    return session;
  }

  /** By short or full name (upstream-protocol 8.2), or bare digits; null when it is not there. */
  find(name: string): StandInSession | null {
    const id = namePattern.exec(name)?.[1] ?? name;
    return this.#sessions.get(id) ?? null;
  }

  delete(session: StandInSession): void {
    this.#sessions.delete(session.id);
  }

  /** Remembers a question; the first one names the session, as in the real history. */
  remember(session: StandInSession, turn: Turn, nowMs: number): void {
    session.updatedAt = nowMs;
    session.turnCount += 1;
    if (session.displayName === '') session.displayName = titleOf(turn.prompt);
    if (!this.#recordTexts) return;
    session.turns.push(turn);
    if (session.turns.length > maxTurns) session.turns.shift();
  }

  /** Forgets every session; later calls that name one are answered 404. */
  clear(): void {
    this.#sessions.clear();
  }
}

function titleOf(prompt: string): string {
  // A copy: a mere slice would keep the whole prompt in memory.
  return Buffer.from(prompt.slice(0, 60)).toString();
}

/** The name that the create reply gives. */
export function shortName(session: StandInSession): string {
  return `${engine}/sessions/${session.id}`;
}

/** The name that the stream's `sessionInfo` gives. */
export function fullName(session: StandInSession): string {
  return `projects/${session.account.projectNumber}/locations/global/${shortName(session)}`;
}
