import { randomUUID } from 'node:crypto';
import { setImmediate as nextTick } from 'node:timers/promises';
import type { Exchange } from './exchange';
import {
  cutAdversarially,
  cutEvenly,
  type Ending,
  fileElement,
  finalElement,
  inlineElement,
  textElement,
  valueElement,
} from './framing';
import { fullName, type StandInSession } from './sessions';

/** Elements larger than this are cut into pieces of this size instead of at awkward places. */
const largeElementBytes = 64 * 1024;

/**
 * One answer on its way: a JSON array that arrives element by element (upstream-protocol 11). With
 * its first text or file, or when it succeeds without, it counts as one use of the day's texts.
 */
export class AnswerStream {
  readonly #exchange: Exchange;
  readonly #session: StandInSession;
  readonly #assistToken = `NMwK${randomUUID()}`;
  #written = 0;
  #begun = false;
  #counted = false;

  constructor(exchange: Exchange, session: StandInSession) {
    this.#exchange = exchange;
    this.#session = session;
  }

  /** Sends the head alone. Without it the head goes out with the first element. */
  begin(): void {
    this.#begin();
    this.#exchange.flushHead();
  }

  /** Writes a fragment of the answer, or of its thoughts. */
  async text(text: string, thought = false): Promise<void> {
    this.#count();
    const turn = this.#session.turns.at(-1);
    if (turn && !thought) turn.reply += text;
    await this.#write(textElement(text, thought, this.#envelope()));
  }

  /** Names a generated file. */
  async file(fileId: string, mimeType: string): Promise<void> {
    this.#count();
    await this.#write(fileElement(fileId, mimeType, this.#envelope()));
  }

  /** Brings a generated file along. */
  async inline(mimeType: string, bytes: Buffer): Promise<void> {
    this.#count();
    await this.#write(inlineElement(mimeType, bytes.toString('base64'), this.#envelope()));
  }

  /** Writes an element of any content. */
  async value(value: unknown): Promise<void> {
    await this.#write(valueElement(value));
  }

  /** Writes text as if it were an element, whatever it is. */
  async raw(text: string): Promise<void> {
    await this.#write(text);
  }

  /** The last element and the end of the array. */
  async finish(
    state: Ending['state'] = 'SUCCEEDED',
    skippedReason: string | null = null,
  ): Promise<void> {
    if (state === 'SUCCEEDED') this.#count();
    await this.#write(this.final(state, skippedReason));
    this.close();
  }

  /** The text of the last element, not yet written. */
  final(state: Ending['state'] = 'SUCCEEDED', skippedReason: string | null = null): string {
    const ids = { queryId: randomUUID(), turnId: randomUUID() };
    const sessionInfo = { session: fullName(this.#session), ...ids };
    return finalElement({ state, skippedReason, sessionInfo }, this.#envelope());
  }

  /** Ends the array without a last element. */
  close(): void {
    this.#exchange.write(Buffer.from(this.#written === 0 ? '[]' : '\n]'));
    this.#exchange.end();
  }

  #envelope(): { uToken: string | null; assistToken: string } {
    const uToken = this.#written === 0 ? this.#session.account.uToken : null;
    return { uToken, assistToken: this.#assistToken };
  }

  #count(): void {
    if (!this.#counted) this.#session.account.quotas.count('text', this.#exchange.nowMs);
    this.#counted = true;
  }

  #begin(): void {
    if (!this.#begun) this.#exchange.begin(200, 'application/json; charset=UTF-8');
    this.#begun = true;
  }

  async #write(element: string): Promise<void> {
    this.#begin();
    const bytes = Buffer.from(`${this.#written === 0 ? '[' : '\n,\n'}${element}`);
    this.#written += 1;
    const isLarge = bytes.length > largeElementBytes;
    const pieces = isLarge
      ? cutEvenly(bytes, Math.ceil(bytes.length / largeElementBytes))
      : cutAdversarially(bytes);
    for (const [index, piece] of pieces.entries()) {
      // Pieces of one tick would reach the client glued together.
      if (index > 0) await nextTick();
      this.#exchange.write(piece);
      await this.#exchange.drained();
    }
  }
}
