import type { Directive } from './directive';
import type { Exchange } from './exchange';
import type { Lockstep } from './lockstep';
import type { StandInSession } from './sessions';

/** A question that was accepted and waits for its answer. */
export interface Question {
  exchange: Exchange;
  session: StandInSession;
  prompt: string;
  lockstep: Lockstep;
  /** Pause between pieces unless the directive has `ms`. */
  pieceDelayMs: number;
}

export type Scenario = (question: Question, directive: Directive) => Promise<void>;
