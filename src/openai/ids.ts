/** A new id of a chat completion, unique everywhere: `chatcmpl-` and 32 hex digits. */
export function completionId(): string {
  return `chatcmpl-${randomHex()}`;
}

/** A new value of `x-request-id`: `req_` and 32 hex digits. */
export function requestId(): string {
  return `req_${randomHex()}`;
}

function randomHex(): string {
  return crypto.randomUUID().replaceAll('-', '');
}
