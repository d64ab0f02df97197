import type { Directive } from './directive';
import type { Exchange } from './exchange';
import type { Lockstep } from './lockstep';
import type { SessionFiles } from './session-files';
import type { StandInSession, Turn } from './sessions';

/** A question that was accepted and waits for its answer. */
export interface Question {
  exchange: Exchange;
  session: StandInSession;
  prompt: string;
  lockstep: Lockstep;
  /** All files of the stand-in: those of the question are in `turn`. */
  files: SessionFiles;
  turn: Turn;
  /** Pause between pieces unless the directive has `ms`. */
  pieceDelayMs: number;
}

export type Scenario = (question: Question, directive: Directive) => Promise<void>;
