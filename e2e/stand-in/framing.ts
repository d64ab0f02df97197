const scanLimitBytes = 4096;

/** The parts of an element that repeat through one answer. */
export interface Envelope {
  /** Only the first element carries it; null afterwards. */
  uToken: string | null;
  assistToken: string;
}

/** How an answer ends. */
export interface Ending {
  state: 'SUCCEEDED' | 'FAILED' | 'SKIPPED';
  /** Full session name, query id and turn id; left out when the real service leaves them out. */
  sessionInfo: { session: string; queryId: string; turnId: string } | null;
  skippedReason: string | null;
}

/** An element that adds a fragment to the answer or to its thoughts (upstream-protocol 12). */
export function textElement(text: string, thought: boolean, envelope: Envelope): string {
  const content = `"text": ${quote(text)}${thought ? ',\n              "thought": true' : ''}`;
  return replyElement(content, envelope);
}

/** An element that names a generated file (upstream-protocol 12.5). */
export function fileElement(fileId: string, mimeType: string, envelope: Envelope): string {
  const content = `"file": {
                "fileId": ${quote(fileId)},
                "mimeType": ${quote(mimeType)}
              }`;
  return replyElement(content, envelope);
}

/** An element that brings a generated file along, in base64 (upstream-protocol 12.5). */
export function inlineElement(mimeType: string, data: string, envelope: Envelope): string {
  const content = `"inlineData": {
                "mimeType": ${quote(mimeType)},
                "data": ${quote(data)}
              }`;
  return replyElement(content, envelope);
}

function replyElement(content: string, envelope: Envelope): string {
  return `{${uTokenLine(envelope)}
  "streamAssistResponse": {
    "answer": {
      "state": "IN_PROGRESS",
      "replies": [
        {
          "groundedContent": {
            "content": {
              "role": "model",
              ${content}
            }
          }
        }
      ],
      "adkAuthor": "root_agent"
    },
    "sessionInfo": {},
    "assistToken": "${envelope.assistToken}"
  }
}`;
}

/** The last element of an answer. */
export function finalElement(ending: Ending, envelope: Envelope): string {
  const reasons =
    ending.skippedReason === null
      ? ''
      : `,\n      "assistSkippedReasons": [\n        "${ending.skippedReason}"\n      ]`;
  const info = ending.sessionInfo;
  const sessionInfo =
    info === null
      ? '{}'
      : `{
      "session": "${info.session}",
      "queryId": "${info.queryId}",
      "turnId": "${info.turnId}"
    }`;
  return `{${uTokenLine(envelope)}
  "streamAssistResponse": {
    "answer": {
      "state": "${ending.state}"${reasons}
    },
    "sessionInfo": ${sessionInfo},
    "assistToken": "${envelope.assistToken}"
  }
}`;
}

/** An element of any other content, such as an error. */
export function valueElement(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

/**
 * Cuts bytes where careless readers break: in the middle of an escape, inside a character of
 * several bytes, and in the middle of the whole. The pieces joined are the input.
 */
export function cutAdversarially(bytes: Buffer): Buffer[] {
  const places = new Set<number>();
  const backslash = bytes.subarray(0, scanLimitBytes).indexOf(0x5c);
  if (backslash !== -1) {
    places.add(backslash + 1);
    // Past "\u12" of "\u1234".
    if (bytes[backslash + 1] === 0x75) places.add(backslash + 4);
  }
  const character = lastMultibyte(bytes);
  if (character !== -1) places.add(character + 1);
  places.add(bytes.length >> 1);
  return cutAt(
    bytes,
    [...places].sort((a, b) => a - b),
  );
}

/** Cuts bytes into `count` parts of about one size, with no regard to what is cut through. */
export function cutEvenly(bytes: Buffer, count: number): Buffer[] {
  const size = Math.max(1, Math.ceil(bytes.length / Math.max(1, count)));
  const places: number[] = [];
  for (let place = size; place < bytes.length; place += size) places.push(place);
  return cutAt(bytes, places);
}

function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let start = 0;
  for (const place of places) {
    if (place > start) pieces.push(bytes.subarray(start, place));
    start = Math.max(start, place);
  }
  pieces.push(bytes.subarray(start));
  return pieces.filter((piece) => piece.length > 0);
}

function lastMultibyte(bytes: Buffer): number {
  const end = Math.min(bytes.length, scanLimitBytes);
  for (let index = end - 1; index >= 0; index -= 1) {
    if ((bytes[index] ?? 0) >= 0xc2) return index;
  }
  return -1;
}

function uTokenLine(envelope: Envelope): string {
  return envelope.uToken === null ? '' : `\n  "uToken": "${envelope.uToken}",`;
}

/** A JSON string with the HTML signs escaped as Google does; lone surrogates become escapes too. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[<>&]/g,
    (sign) => `\\u00${sign.charCodeAt(0).toString(16)}`,
  );
}
