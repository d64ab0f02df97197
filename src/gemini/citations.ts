import { type Fields, isFields } from './fields';

/** A page of the web that an answer rests on. */
export interface Source {
  /** http or https. */
  url: string;
  /** One line; never empty. */
  title: string;
}

/** A part of the answer and what it rests on. */
export interface CitedSegment {
  /** Bytes of UTF-8, the end exclusive; of the reply's text or of the whole answer's (protocol 12.6). */
  startByte: number;
  endByte: number;
  /** The part itself, where the upstream repeats it. */
  text: string | null;
  sources: Source[];
}

/** What web grounding says of a reply, right after the reply's own text. */
export interface CitationsEvent {
  type: 'citations';
  /** The text of that very reply; empty if it came with the metadata alone. */
  replyText: string;
  segments: CitedSegment[];
  /** All of them, also those that no segment names. */
  sources: Source[];
}

const maxReferences = 100;
const maxSegments = 200;
const maxUrlCharacters = 2_048;
const maxTitleCharacters = 300;
const unprintable = /[\s\p{Cc}\p{Surrogate}]+/gu;

/**
 * Reads a `textGroundingMetadata` (protocol 12.6). Only web pages count; what is malformed or past
 * a bound is left out.
 * @returns null if it names no page
 */
export function citationsOf(metadata: unknown, replyText: string): CitationsEvent | null {
  if (!isFields(metadata)) return null;
  const references = listOf(metadata.references, maxReferences).map(sourceOf);
  const sources = references.filter((source) => source !== null);
  if (sources.length === 0) return null;
  const segments = listOf(metadata.segments, maxSegments).flatMap((segment) =>
    segmentOf(segment, references),
  );
  return { type: 'citations', replyText, segments, sources };
}

function segmentOf(segment: unknown, references: readonly (Source | null)[]): CitedSegment[] {
  if (!isFields(segment)) return [];
  const startByte = numberOf(segment.startIndex);
  const endByte = numberOf(segment.endIndex);
  if (startByte === null || endByte === null || endByte <= startByte) return [];
  const indices = new Set(listOf(segment.referenceIndices, maxReferences).map(numberOf));
  const sources = [...indices].flatMap((index) => references[index ?? -1] ?? []);
  if (sources.length === 0) return [];
  const text = typeof segment.text === 'string' && segment.text !== '' ? segment.text : null;
  return [{ startByte, endByte, text, sources }];
}

function sourceOf(reference: unknown): Source | null {
  if (!isFields(reference) || !isFields(reference.documentMetadata)) return null;
  const { documentMetadata } = reference;
  const url = webAddress(documentMetadata.uri);
  if (url === null) return null;
  const title = titleOf(documentMetadata) || url.hostname;
  return { url: url.href, title };
}

function webAddress(uri: unknown): URL | null {
  if (typeof uri !== 'string' || uri.length > maxUrlCharacters || !URL.canParse(uri)) return null;
  const url = new URL(uri);
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:';
  return isWeb && url.href.length <= maxUrlCharacters ? url : null;
}

function titleOf({ title, domain }: Fields): string {
  const text = [title, domain].find((value) => typeof value === 'string' && value.trim() !== '');
  return String(text ?? '')
    .slice(0, maxTitleCharacters)
    .replace(unprintable, ' ')
    .trim();
}

/** Numbers of 64 bits come as decimal strings; a zero may be left out, as JSON of protobuf may. */
function numberOf(value: unknown): number | null {
  if (value === undefined) return 0;
  const isDecimal = typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));
  const number = isDecimal ? Number(value) : -1;
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function listOf(value: unknown, max: number): unknown[] {
  return Array.isArray(value) ? value.slice(0, max) : [];
}
