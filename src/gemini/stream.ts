import { GeminiError } from './errors';

/** Incremental reader of the chat reply: bytes in, whole elements out. */
export interface ElementScanner {
  /**
   * Adds to `elements`, and returns it, every element that this chunk completes. Elements found
   * before a fault of the same chunk are in `elements` when it throws; after a throw the scanner
   * is spent.
   *
   * @throws GeminiError `upstream` with reason `malformed` or `element_too_large`.
   */
  push(chunk: Uint8Array, elements?: unknown[]): unknown[];
  /** Whether the body may end here: array closed, or between bare objects. */
  end(): 'complete' | 'truncated';
}

export interface ElementScannerOptions {
  /** Inline images may be megabytes (protocol 11: 64 MiB is ample). */
  maxElementBytes: number;
}

type Expected = 'start' | 'element or close' | 'comma or close' | 'element' | 'object' | 'blank';

const space = 0x20;
const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;

const noBytes = Buffer.alloc(0);
/** Mostly enough for an element; less than what Node takes from its pool of buffers. */
const firstBufferBytes = 2048;
const keptBufferBytes = 64 * 1024;

/**
 * A scanner for one reply (protocol 11): a JSON array of objects cut anywhere, one bare object, or
 * objects with blanks between them. Cuts may fall inside a character or an escape: only whole
 * elements are decoded. It holds at most one unfinished element.
 */
export function createElementScanner(options: ElementScannerOptions): ElementScanner {
  return new Scanner(options.maxElementBytes);
}

class Scanner implements ElementScanner {
  readonly #maxElementBytes: number;
  /** Where the whole elements of this chunk begin and end. */
  #places: number[] = [];
  #expected: Expected = 'start';
  /** Open braces; 0 between elements. Brackets need no counting, JSON.parse checks them. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  #held = noBytes;
  #heldBytes = 0;

  constructor(maxElementBytes: number) {
    this.#maxElementBytes = maxElementBytes;
  }

  push(chunk: Uint8Array, elements: unknown[] = []): unknown[] {
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    try {
      while (at < bytes.length) {
        if (this.#depth === 0) at = this.#readSeparators(bytes, at);
        if (at < bytes.length) at = this.#readElement(bytes, at, elements);
      }
    } finally {
      this.#parsePlaces(bytes, elements);
    }
    return elements;
  }

  end(): 'complete' | 'truncated' {
    const mayEnd = this.#expected === 'blank' || this.#expected === 'object';
    return mayEnd && this.#depth === 0 ? 'complete' : 'truncated';
  }

  /** Returns the index of the next opening brace, or the chunk's length. */
  #readSeparators(bytes: Buffer, from: number): number {
    const brace = bytes.indexOf(openBrace, from);
    const next = brace === -1 ? bytes.length : brace;
    const expected = afterSeparators(this.#expected, bytes, from, Math.min(next + 1, bytes.length));
    if (expected === null) throw malformed('stray token between elements');
    this.#expected = expected;
    return next;
  }

  /** Returns the index behind the element, or the chunk's length when the rest is still to come. */
  #readElement(bytes: Buffer, start: number, elements: unknown[]): number {
    const end = this.#findEnd(bytes, start);
    const elementBytes = this.#heldBytes + end - start;
    if (elementBytes > this.#maxElementBytes) {
      throw new GeminiError('upstream', 'The answer has an element above the size limit', {
        reason: 'element_too_large',
      });
    }
    if (this.#depth > 0 || this.#heldBytes > 0) this.#hold(bytes, start, end);
    if (this.#depth > 0) return end;
    if (this.#heldBytes > 0) elements.push(parseElement(this.#takeHeldText()));
    else this.#places.push(start, end);
    return end;
  }

  /** Parses the elements that lie whole in the chunk, together where that works: it is faster. */
  #parsePlaces(bytes: Buffer, elements: unknown[]): void {
    const places = this.#places;
    if (places.length === 0) return;
    this.#places = [];
    // In an array there is one comma between two of them, so that they are an array, too.
    if (places.length > 2 && this.#expected !== 'object') {
      const together = parsedOrNull(`[${bytes.toString('utf8', places[0], places.at(-1))}]`);
      if (together !== null) {
        for (const element of together) elements.push(element);
        return;
      }
    }
    for (let place = 0; place < places.length; place += 2) {
      elements.push(parseElement(bytes.toString('utf8', places[place], places[place + 1])));
    }
  }

  /**
   * The hot loop: follows strings, escapes and braces to the end of the element or of the chunk.
   * Its form is measured: constants must be local, and one read beyond the end (`undefined`)
   * makes the engine treat every byte as a boxed value, three times slower from then on.
   */
  #findEnd(bytes: Buffer, start: number): number {
    const space = 0x20;
    const quote = 0x22;
    const backslash = 0x5c;
    const openBrace = 0x7b;
    const closeBrace = 0x7d;
    const length = bytes.length;
    let depth = this.#depth;
    let inString = this.#inString;
    let at = this.#escaped ? start + 1 : start;
    let byte = 0;
    while (at < length) {
      byte = bytes[at++] as number;
      if (inString) {
        while (byte !== quote && at < length) {
          if (byte === backslash && ++at === length) byte = 0;
          else byte = bytes[at++] as number;
        }
        inString = byte !== quote;
      } else {
        while (byte <= space && at < length) byte = bytes[at++] as number;
        if (byte === quote) inString = true;
        else if (byte === openBrace) depth++;
        else if (byte === closeBrace && --depth === 0) break;
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = inString && byte === backslash;
    return at;
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    const needed = this.#heldBytes + end - start;
    if (needed > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#held.length, firstBufferBytes));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    bytes.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = needed;
  }

  #takeHeldText(): string {
    const text = this.#held.toString('utf8', 0, this.#heldBytes);
    this.#heldBytes = 0;
    if (this.#held.length > keptBufferBytes) this.#held = noBytes;
    return text;
  }
}

/** What may follow these bytes between elements; null if one of them may not stand there. */
function afterSeparators(
  before: Expected,
  bytes: Buffer,
  from: number,
  to: number,
): Expected | null {
  let expected: Expected | null = before;
  for (let at = from; at < to && expected !== null; at++) {
    const byte = bytes[at] ?? 0;
    if (byte !== space && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
      expected = afterToken(expected, byte);
    }
  }
  return expected;
}

function afterToken(expected: Expected, byte: number): Expected | null {
  if (byte === openBrace) {
    if (expected === 'start' || expected === 'object') return 'object';
    return expected === 'element' || expected === 'element or close' ? 'comma or close' : null;
  }
  if (byte === comma) return expected === 'comma or close' ? 'element' : null;
  if (byte === openBracket) return expected === 'start' ? 'element or close' : null;
  if (byte !== closeBracket) return null;
  return expected === 'comma or close' || expected === 'element or close' ? 'blank' : null;
}

function parsedOrNull(text: string): unknown[] | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function parseElement(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('an element is not JSON');
  }
}

function malformed(what: string): GeminiError {
  return new GeminiError('upstream', `The answer is malformed: ${what}`, { reason: 'malformed' });
}
