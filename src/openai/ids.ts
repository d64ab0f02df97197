/** A new id of a chat completion, unique everywhere: `chatcmpl-` and 32 hex digits. */
export function completionId(): string {
  return `chatcmpl-${randomHex()}`;
}

/** A new value of `x-request-id`: `req_` and 32 hex digits. */
export function requestId(): string {
  return `req_${randomHex()}`;
}

const ID_BYTES = 16;
const random = new Uint8Array(256 * ID_BYTES);
let used = random.length;
const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Random bytes are cheap in great numbers only. */
function randomHex(): string {
  if (used === random.length) {
    crypto.getRandomValues(random);
    used = 0;
  }
  let hex = '';
  for (const end = used + ID_BYTES; used < end; used += 1) hex += hexOfByte[random[used] ?? 0];
  return hex;
}
