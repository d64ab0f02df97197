import type { FaultCall, StandInAccount } from './accounts';
import { answers } from './answers';
import { type Directive, parseDirective } from './directive';
import { isDownloadFault } from './download';
import { failures } from './failures';
import { isListFault } from './file-list-call';
import { defaultKeyFaultTimes, isKeyFault } from './key-host';
import type { Scenario } from './scenario';
import { isSessionFault } from './session-calls';
import { isUploadFault } from './upload-call';

/** What an account is told to do wrong. */
export interface Fault {
  on: FaultCall | readonly FaultCall[];
  /** A scenario without its brackets, such as `http status=429 reason=LLM_OVERLOADED`. */
  scenario: string;
  /** How many calls it spoils; for ever when left out (`rotation`: once). */
  times?: number;
  /** For how long from now, in ms of real time; for ever when left out. */
  forMs?: number;
}

/** The scenario of that name for a chat call, or null. */
export function chatScenario(name: string): Scenario | null {
  return answers.get(name) ?? failures.get(name) ?? null;
}

/** @throws Error when a call cannot play the scenario. */
export function armFault(account: StandInAccount, fault: Fault): void {
  const directive = parseDirective(fault.scenario);
  for (const call of typeof fault.on === 'string' ? [fault.on] : fault.on) {
    if (!canPlay(call, directive)) throw new Error(`${call} knows no scenario ${directive.name}`);
    const times = fault.times ?? defaultKeyFaultTimes(directive.name);
    account.armFault(call, directive, times, fault.forMs ?? Number.POSITIVE_INFINITY);
  }
}

const players: Record<FaultCall, (name: string) => boolean> = {
  key: isKeyFault,
  createSession: isSessionFault,
  streamAssist: (name) => chatScenario(name) !== null,
  addContextFile: isUploadFault,
  listSessionFiles: isListFault,
  downloadFile: isDownloadFault,
};

function canPlay(call: FaultCall, { name }: Directive): boolean {
  return Object.hasOwn(players, call) && players[call](name);
}
