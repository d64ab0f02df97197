import bytePairs from 'gpt-tokenizer/bpeRanks/o200k_base';
import {
  countTokens as countWord,
  encode,
  setMergeCacheSize,
} from 'gpt-tokenizer/encoding/o200k_base';
import { O200K_TOKEN_SPLIT_REGEX } from 'gpt-tokenizer/encodingParams/constants';

/** So much of a text is counted exactly (design 9); what follows is estimated. UTF-8 bytes. */
export const EXACT_BUDGET_BYTES = 20_000;

/** The tokenizer is quadratic in runs without a break, so it never sees more at once. */
const PIECE_CHARACTERS = 256;

/** The words are known here, so that the tokenizer, whose default may grow to 600 MB, need not. */
setMergeCacheSize(0);

/** Text such as `<|endoftext|>` is a caller's text like any other. */
const ordinaryText = { disallowedSpecial: new Set<string>() };

/** Weights of the estimate: 4 Latin characters or 1.5 Han ones are a token. */
const UNITS_PER_TOKEN = 12;
const LATIN_UNITS = 3;
const HAN_UNITS = 8;
const FIRST_HAN_LIKE = 0x2e80;

/** Counts a text that comes in pieces. The count depends on the text alone, not on the pieces. */
export interface TokenCounter {
  /** Cheap: the work is done when the total is asked for. */
  push(text: string): void;
  /** Tokens of all that was pushed. */
  total(): number;
}

/** A counter that is exact for the first `EXACT_BUDGET_BYTES` of the text, whole pieces. */
export function createTokenCounter(): TokenCounter {
  const unlimited = createTokenLimit(Number.POSITIVE_INFINITY);
  let waiting = '';
  let counted = 0;
  return {
    push(text) {
      waiting += text;
    },
    total() {
      if (waiting === '') return counted;
      unlimited.push(waiting);
      waiting = '';
      counted = unlimited.total();
      return counted;
    },
  };
}

/** What was counted of words, and of texts that come again: a conversation brings all of its turns. */
const knownWords = new Map<string, number>();
const knownPieces = new Map<string, number>();
const MAX_KNOWN = 5_000;

/** Exactly, word by word: no token lies across the end of one. */
function countExactly(text: string): number {
  let tokens = 0;
  for (const word of text.match(O200K_TOKEN_SPLIT_REGEX) ?? []) {
    tokens += knownWords.get(word) ?? know(knownWords, word, countWord(word, ordinaryText));
  }
  return tokens;
}

function know(known: Map<string, number>, text: string, tokens: number): number {
  known.set(copyOf(text), tokens);
  if (known.size > MAX_KNOWN) {
    for (const oldest of known.keys()) {
      known.delete(oldest);
      break;
    }
  }
  return tokens;
}

/** Tokens of a whole text; as `createTokenCounter` counts. */
export function countTokens(text: string): number {
  let start = 0;
  let bytes = 0;
  let tokens = 0;
  while (text.length - start >= PIECE_CHARACTERS && bytes < EXACT_BUDGET_BYTES) {
    const end = pieceEnd(text, start);
    tokens += countPiece(text, start, end);
    bytes += utf8Bytes(text, start, end);
    start = end;
  }
  if (bytes < EXACT_BUDGET_BYTES) return tokens + countPiece(text, start, text.length);
  return tokens + Math.ceil(unitsOf(text, start) / UNITS_PER_TOKEN);
}

function countPiece(text: string, start: number, end: number): number {
  if (start === end) return 0;
  const piece = text.slice(start, end);
  return knownPieces.get(piece) ?? know(knownPieces, piece, countExactly(piece));
}

function unitsOf(text: string, start: number): number {
  let units = 0;
  for (let index = start; index < text.length; index += 1) {
    units += text.charCodeAt(index) >= FIRST_HAN_LIKE ? HAN_UNITS : LATIN_UNITS;
  }
  return units;
}

/** Lets through the first tokens of a text that comes in pieces. */
export interface TokenLimit {
  /** What may be given out now: all that is surely within the limit, however the text goes on. */
  push(text: string): string;
  /** What was held back and is within the limit; the text has ended. */
  finish(): string;
  /** True once there was more text than the limit admits. */
  reached(): boolean;
  /** Tokens of what was pushed, at most the limit. */
  total(): number;
}

/**
 * A limit of `maxTokens` (at least 1), cut on the boundary of a token, never inside a character.
 * What passes is the same however the text was cut. Each piece of it must be well formed.
 */
export function createTokenLimit(maxTokens: number): TokenLimit {
  return new Limit(maxTokens);
}

class Limit implements TokenLimit {
  /** The text from the start of the current piece on. */
  #open = '';
  /** How much of `#open` is counted, and how much was given out. */
  #counted = 0;
  #given = 0;
  #exactBytes = 0;
  #exactTokens = 0;
  #estimatedUnits = 0;
  #reached = false;
  readonly #maxTokens: number;

  constructor(maxTokens: number) {
    this.#maxTokens = maxTokens;
  }

  push(text: string): string {
    if (this.#reached) return '';
    this.#open += text;
    const out = this.#countPieces();
    if (this.#reached) return out;
    if (this.#exactBytes >= EXACT_BUDGET_BYTES) return out + this.#estimate();
    return out + this.#giveWhatIsSure();
  }

  finish(): string {
    const isDone = this.#reached || this.#counted === this.#open.length;
    return isDone ? '' : this.#countUpTo(this.#open.length);
  }

  reached(): boolean {
    return this.#reached;
  }

  total(): number {
    if (this.#reached) return this.#maxTokens;
    const rest = countExactly(this.#open.slice(this.#counted));
    return this.#exactTokens + rest + Math.ceil(this.#estimatedUnits / UNITS_PER_TOKEN);
  }

  /** Counts the pieces that are complete, up to the budget. */
  #countPieces(): string {
    const whole = this.#open;
    let out = '';
    let start = 0;
    while (whole.length - start >= PIECE_CHARACTERS && this.#exactBytes < EXACT_BUDGET_BYTES) {
      const end = pieceEnd(whole, start);
      this.#open = whole.slice(start, end);
      out += this.#countUpTo(end - start);
      if (this.#reached) return out;
      this.#exactBytes += utf8Bytes(this.#open);
      this.#counted = 0;
      this.#given = Math.max(0, this.#given - (end - start));
      start = end;
    }
    this.#open = whole.slice(start);
    return out;
  }

  /** Counts `#open` up to `end`, where a token surely ends. */
  #countUpTo(end: number): string {
    const text = this.#open.slice(this.#counted, end);
    const tokens = countExactly(text);
    const left = this.#maxTokens - this.#exactTokens;
    if (tokens > left) {
      const within = encode(text, ordinaryText).slice(0, left);
      return this.#stopAt(this.#counted + charactersOf(within, text));
    }
    this.#exactTokens += tokens;
    this.#counted = end;
    return this.#giveUpTo(end);
  }

  /** Of the incomplete piece: all, while far from the limit; near it, whole words. */
  #giveWhatIsSure(): string {
    if (!this.#mayExceed()) return this.#giveUpTo(this.#open.length);
    const end = lastWordEnd(this.#open, this.#counted, this.#open.length);
    const out = end > this.#counted ? this.#countUpTo(end) : '';
    if (this.#reached) return out;
    // Where the counting stands a token has ended, so that what follows begins another.
    const isFull = this.#exactTokens === this.#maxTokens && this.#open.length > this.#counted;
    if (isFull) return out + this.#stopAt(this.#counted);
    return this.#mayExceed() ? out : out + this.#giveUpTo(this.#open.length);
  }

  /** No token is shorter than a byte, no character of a string longer than three. */
  #mayExceed(): boolean {
    return this.#exactTokens + 3 * (this.#open.length - this.#counted) > this.#maxTokens;
  }

  #estimate(): string {
    const text = this.#open;
    const mostUnits = (this.#maxTokens - this.#exactTokens) * UNITS_PER_TOKEN;
    let units = this.#estimatedUnits;
    for (let index = 0; index < text.length; index += 1) {
      units += text.charCodeAt(index) >= FIRST_HAN_LIKE ? HAN_UNITS : LATIN_UNITS;
      if (units > mostUnits) return this.#stopAt(isLowSurrogate(text, index) ? index - 1 : index);
    }
    this.#estimatedUnits = units;
    const out = this.#giveUpTo(text.length);
    this.#open = '';
    this.#given = 0;
    return out;
  }

  #stopAt(end: number): string {
    this.#reached = true;
    return this.#giveUpTo(end);
  }

  #giveUpTo(end: number): string {
    const text = this.#open.slice(this.#given, end);
    this.#given = Math.max(this.#given, end);
    return text;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** A slice keeps the whole text that it is of: one known word would hold a request of 20 MB. */
function copyOf(text: string): string {
  return decoder.decode(encoder.encode(text));
}

/** How many characters of `text` the first tokens of it cover; whole characters only. */
function charactersOf(tokens: readonly number[], text: string): number {
  let bytes = tokens.reduce((sum, token) => sum + tokenBytes(token), 0);
  let length = 0;
  for (const character of text) {
    bytes -= utf8Bytes(character);
    if (bytes < 0) break;
    length += character.length;
  }
  return length;
}

function tokenBytes(token: number): number {
  const bytes = bytePairs[token];
  if (bytes === undefined) return 0;
  return typeof bytes === 'string' ? utf8Bytes(bytes) : bytes.length;
}

/** A lone surrogate counts as the two bytes that are its share of a pair. */
function utf8Bytes(text: string, start = 0, end = text.length): number {
  let bytes = 0;
  for (let index = start; index < end; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x80) bytes += 1;
    else if (code < 0x800 || isSurrogate(code)) bytes += 2;
    else bytes += 3;
  }
  return bytes;
}

/** Where the piece that begins at `start` ends: at a word's end, where one is near. */
function pieceEnd(text: string, start: number): number {
  const limit = start + PIECE_CHARACTERS;
  const end = lastWordEnd(text, start + PIECE_CHARACTERS / 2, limit);
  if (end > 0) return end;
  return isHighSurrogate(text, limit - 1) ? limit - 1 : limit;
}

/** The last position after `from` and before `to` that no token lies across; 0 if there is none. */
function lastWordEnd(text: string, from: number, to: number): number {
  for (let index = to - 1; index > from; index -= 1) {
    if (isWordEnd(text, index)) return index;
  }
  return 0;
}

const wordCharacter = /[\p{L}\p{N}]/u;
const goesOnWithWord = /[\p{L}\p{M}\p{N}\p{Cs}']/u;
const blank = /\s/;

/** o200k's pattern takes a blank to the next word, and ends words at what is no part of them. */
function isWordEnd(text: string, index: number): boolean {
  const before = text.charAt(index - 1);
  const after = text.charAt(index);
  if (after === ' ') return !blank.test(before);
  return wordCharacter.test(before) && !goesOnWithWord.test(after);
}

function isSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff;
}

function isHighSurrogate(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 0xd800 && code <= 0xdbff;
}

function isLowSurrogate(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff;
}
