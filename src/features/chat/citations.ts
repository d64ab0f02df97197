import type { CitationsEvent, CitedSegment, Source } from '@/gemini/citations';

/** A page that a part of the reply rests on. */
export interface Citation extends Source {
  /** Where the part begins and, exclusive, ends: Unicode characters of the reply as it went out. */
  startIndex: number;
  endIndex: number;
}

/** One reply's text, kept so that the places of its citations can be found in it. */
export interface CitedText {
  /** A piece of the upstream's own text. */
  said(text: string): void;
  cite(event: CitationsEvent): void;
  /**
   * Each once, in the order of their places; bounded in number and size. Those of a part that did
   * not go out are left out: a reply may be cut.
   * @param givenUnits how much of it went out, in UTF-16 units
   */
  citations(givenUnits: number): Citation[];
}

interface Mark extends CitedSegment {
  /** Where the reply that it came with begins and ends: UTF-16 units of the upstream's text. */
  replyStart: number;
  replyEnd: number;
}

/** UTF-16 units of the upstream's text; the end exclusive. */
interface Range {
  start: number;
  end: number;
}

const MAX_MARKS = 200;
const MAX_CITATIONS = 100;
/** Of JSON, since all of them go out in one event, which stays below 64 kB (design 9). */
const MAX_JSON_BYTES = 48_000;
/** What stands around each citation on the wire. */
const FRAME_BYTES = 120;

/** A text of which nothing was said yet. */
export function createCitedText(): CitedText {
  let text = '';
  const marks: Mark[] = [];
  let sources: Source[] = [];

  return {
    said(piece) {
      text += piece;
    },
    cite(event) {
      const replyEnd = text.length;
      const replyStart = Math.max(0, replyEnd - event.replyText.length);
      if (sources.length === 0) sources = event.sources;
      for (const segment of event.segments.slice(0, MAX_MARKS - marks.length)) {
        marks.push({ ...segment, replyStart, replyEnd });
      }
    },
    citations(givenUnits) {
      if (sources.length === 0) return [];
      const ruler = createRuler(text);
      const parts = marks.map((mark) => ({ ...mark, range: rangeOf(mark, text, ruler) }));
      // Where the upstream names pages and no part, the whole rests on them.
      const whole = { range: { start: 0, end: text.length }, sources };
      const found = (parts.length > 0 ? parts : [whole]).flatMap((part) => {
        if (!part.range || part.range.end > givenUnits) return [];
        const place = placeOf(part.range, ruler);
        return part.sources.map((source) => ({ ...source, ...place }));
      });
      return bounded(found);
    },
  };
}

/** What comes before each UTF-16 unit of a text, and before its end. */
interface Ruler {
  bytes: Uint32Array;
  characters: Uint32Array;
}

function createRuler(text: string): Ruler {
  const bytes = new Uint32Array(text.length + 1);
  const characters = new Uint32Array(text.length + 1);
  let byte = 0;
  let character = 0;
  for (let unit = 0; unit < text.length; unit += 1) {
    const code = text.codePointAt(unit) ?? 0;
    if (code >= 0x1_0000) {
      // No place begins or ends within a character.
      unit += 1;
      bytes[unit] = byte;
    }
    byte += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
    character += 1;
    bytes[unit + 1] = byte;
    characters[unit + 1] = character;
  }
  return { bytes, characters };
}

/**
 * Where a segment is. The protocol does not say whether its bytes count from the beginning of its
 * reply or from that of the answer, so its own words decide, where it has them.
 */
function rangeOf(mark: Mark, text: string, { bytes }: Ruler): Range | null {
  const { startByte, endByte, text: words, replyStart, replyEnd } = mark;
  const within = (from: number, to: number): Range[] => {
    const base = bytes[from] ?? 0;
    const start = unitAt(bytes, base + startByte);
    const end = unitAt(bytes, base + endByte);
    return end <= to ? [{ start, end }] : [];
  };
  const ofReply = replyEnd > replyStart ? within(replyStart, replyEnd) : [];
  const candidates = [...ofReply, ...within(0, text.length)];
  const [likely = null] = candidates;
  if (words === null) return likely;
  const exact = candidates.find(({ start, end }) => text.slice(start, end) === words);
  if (exact) return exact;
  const start = text.indexOf(words);
  return start < 0 ? likely : { start, end: start + words.length };
}

/** The first unit that has so many bytes before it; past the end if there is none. */
function unitAt(bytes: Uint32Array, byte: number): number {
  let low = 0;
  let high = bytes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bytes[middle] ?? 0) < byte) low = middle + 1;
    else high = middle;
  }
  return low;
}

function placeOf({ start, end }: Range, { characters }: Ruler) {
  return { startIndex: characters[start] ?? 0, endIndex: characters[end] ?? 0 };
}

function bounded(citations: readonly Citation[]): Citation[] {
  const inOrder = citations.toSorted(
    (one, other) => one.startIndex - other.startIndex || one.endIndex - other.endIndex,
  );
  const kept = new Map<string, Citation>();
  let jsonBytes = 0;
  for (const citation of inOrder) {
    const { url, title, startIndex, endIndex } = citation;
    const key = `${startIndex} ${endIndex} ${url}`;
    if (kept.has(key)) continue;
    // A URL is ASCII; a character of a title takes three bytes at most for each unit.
    jsonBytes += FRAME_BYTES + url.length + 3 * JSON.stringify(title).length;
    if (kept.size === MAX_CITATIONS || jsonBytes > MAX_JSON_BYTES) break;
    kept.set(key, citation);
  }
  return [...kept.values()];
}
