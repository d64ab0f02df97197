import type { Directive } from './directive';
import type { Exchange } from './exchange';
import { googleError } from './google-error';

/** A wrong reply that fits any call. */
export type ReplyFailure = (exchange: Exchange, directive: Directive) => void | Promise<void>;

const htmlPage =
  '<!doctype html>\n<html lang="en"><head><title>Sorry…</title></head><body>…</body></html>\n';

/** Failures in place of a whole reply, by the name of their scenario. */
export const replyFailures: ReadonlyMap<string, ReplyFailure> = new Map<string, ReplyFailure>([
  ['http', (exchange, directive) => sendError(exchange, directive, false)],
  ['object', (exchange, directive) => sendError(exchange, directive, false)],
  ['array-error', (exchange, directive) => sendError(exchange, directive, true)],
  ['html', sendHtml],
  ['hang', (exchange) => exchange.closed],
  ['reset-before', (exchange) => exchange.reset()],
]);

/** The error that a directive describes by `status`, `message` and `reason`. */
export function describedError(directive: Directive): ReturnType<typeof googleError> {
  const status = directive.number('status', 500);
  return googleError(status, directive.text('message'), directive.text('reason'));
}

/** The Retry-After header that a directive asks for, in seconds or as it is written. */
export function retryAfter(directive: Directive): Record<string, string> {
  const value = directive.text('retry-after');
  return value === null ? {} : { 'retry-after': value };
}

/** A page where JSON was due; status 200 unless the directive says otherwise. */
function sendHtml(exchange: Exchange, directive: Directive): void {
  exchange.send(directive.number('status', 200), 'text/html; charset=utf-8', htmlPage);
}

function sendError(exchange: Exchange, directive: Directive, inArray: boolean): void {
  const error = describedError(directive);
  exchange.json(directive.number('status', 500), inArray ? [error] : error, retryAfter(directive));
}
