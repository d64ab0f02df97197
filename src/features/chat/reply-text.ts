import { createTokenCounter, createTokenLimit } from '@/features/chat/tokens';

/**
 * The text of one reply on its way out: cut before the first stop sequence and after `maxTokens`,
 * neither of which the upstream knows. What comes out is the same however the text was cut up.
 */
export interface ReplyText {
  /** What may be given out now; nothing once there is a `finishReason`. Whole characters only. */
  push(text: string): string;
  /** What was held back; to be called once, when the upstream has ended or `finishReason` is set. */
  finish(): string;
  /** Why the reply was cut; null as long as it goes on, and after an end of its own. */
  readonly finishReason: 'stop' | 'length' | null;
  /** Completion tokens of what was given out; final after `finish`. */
  readonly tokens: number;
}

export interface ReplyLimits {
  /** None of them empty. */
  stop: readonly string[];
  maxTokens: number | null;
}

/** A reply with these limits; without any, pieces pass untouched and are counted at the end. */
export function createReplyText({ stop, maxTokens }: ReplyLimits): ReplyText {
  const wholeCharacters = createWholeCharacters();
  const search = stop.length === 0 ? null : createStopSearch(stop);
  const limit = maxTokens === null ? null : createTokenLimit(maxTokens);
  const counter = limit === null ? createTokenCounter() : null;
  let finishReason: ReplyText['finishReason'] = null;

  function give(text: string, isLast: boolean): string {
    if (limit === null) {
      counter?.push(text);
      return text;
    }
    const out = limit.push(text) + (isLast ? limit.finish() : '');
    if (limit.reached()) finishReason = 'length';
    return out;
  }

  return {
    push(text) {
      if (finishReason !== null) return '';
      const characters = wholeCharacters(text);
      if (search === null) return give(characters, false);
      const safe = search.push(characters);
      const out = give(safe, search.found());
      if (search.found()) finishReason ??= 'stop';
      return out;
    },
    finish() {
      if (finishReason !== null) return '';
      const out = give(search?.finish() ?? '', true);
      if (search?.found()) finishReason ??= 'stop';
      return out;
    },
    get finishReason() {
      return finishReason;
    },
    get tokens() {
      return limit?.total() ?? counter?.total() ?? 0;
    },
  };
}

const LONE_SURROGATES = /\p{Surrogate}/gu;

/** Holds half a character until its other half comes; a half that stays alone is dropped. */
function createWholeCharacters(): (text: string) => string {
  let half = '';
  return (piece) => {
    const text = half === '' ? piece : half + piece;
    const last = text.charCodeAt(text.length - 1);
    half = last >= 0xd800 && last <= 0xdbff ? text.slice(-1) : '';
    const whole = half === '' ? text : text.slice(0, -1);
    return whole.isWellFormed() ? whole : whole.replace(LONE_SURROGATES, '');
  };
}

interface StopSearch {
  /** Text ahead of everything that may be the beginning of a stop sequence. */
  push(text: string): string;
  /** What was held, up to a stop sequence if it has one. */
  finish(): string;
  /** True once the earliest stop sequence is certain. */
  found(): boolean;
}

/**
 * Knuth, Morris and Pratt for each sequence: one look at each character, wherever the pieces were
 * cut and however the sequences repeat themselves.
 */
function createStopSearch(stop: readonly string[]): StopSearch {
  const sequences = stop.map((text) => ({ text, fallbacks: fallbacksOf(text), matched: 0 }));
  let held = '';
  let heldFrom = 0;
  let position = 0;
  let earliest = Number.POSITIVE_INFINITY;
  let isCertain = false;

  /** Moves on by one character; returns where the longest unfinished match begins. */
  function step(code: number): number {
    position += 1;
    let open = position;
    for (const sequence of sequences) {
      const { text, fallbacks } = sequence;
      let { matched } = sequence;
      while (matched > 0 && text.charCodeAt(matched) !== code)
        matched = fallbacks[matched - 1] ?? 0;
      if (text.charCodeAt(matched) === code) matched += 1;
      if (matched === text.length) {
        earliest = Math.min(earliest, position - matched);
        matched = fallbacks[matched - 1] ?? 0;
      }
      sequence.matched = matched;
      open = Math.min(open, position - matched);
    }
    return open;
  }

  function release(until: number): string {
    const text = held.slice(0, until - heldFrom);
    held = held.slice(until - heldFrom);
    heldFrom = until;
    return text;
  }

  return {
    push(text) {
      held += text;
      let open = position;
      for (let index = 0; index < text.length; index += 1) {
        open = step(text.charCodeAt(index));
        // A longer sequence that began earlier may still complete, and would win.
        if (earliest <= open) {
          isCertain = true;
          return release(earliest);
        }
      }
      return text === '' ? '' : release(open);
    },
    finish() {
      isCertain = earliest !== Number.POSITIVE_INFINITY;
      return release(isCertain ? earliest : position);
    },
    found: () => isCertain,
  };
}

/** For each length less one: the longest beginning of `text` that also ends its first so many. */
function fallbacksOf(text: string): Int32Array {
  const fallbacks = new Int32Array(text.length);
  for (let index = 1, matched = 0; index < text.length; index += 1) {
    while (matched > 0 && text.charCodeAt(matched) !== text.charCodeAt(index)) {
      matched = fallbacks[matched - 1] ?? 0;
    }
    if (text.charCodeAt(matched) === text.charCodeAt(index)) matched += 1;
    fallbacks[index] = matched;
  }
  return fallbacks;
}
