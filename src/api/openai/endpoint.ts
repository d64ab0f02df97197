import { readJson } from '@/api/openai/read-json';
import { RequestRecord } from '@/api/openai/request-record';
import { type Endpoint, jsonReply, pathOf, type Reply, toResponse } from '@/api/reply';
import { presentedKey } from '@/features/keys/key-format';
import { type ApiKey, verifyKey } from '@/features/keys/keys';
import { settings } from '@/features/settings/settings';
import { errorHeaders, statusOf, toErrorBody } from '@/openai/errors';
import { requestId as newRequestId } from '@/openai/ids';
import { AppError, excerpt, isAppError } from '@/platform/errors';
import { isDraining } from '@/platform/lifecycle';
import { log } from '@/platform/log';
import { endOfTurn } from '@/platform/turn';

type Method = 'GET' | 'POST' | 'DELETE';

/** An authenticated call of one endpoint. */
export interface Call {
  request: Request;
  path: string;
  key: ApiKey;
  record: RequestRecord;
  /** The body as a JSON object, read now. */
  json(): Promise<object>;
}

type Handle = (call: Call) => Promise<Reply>;

export interface EndpointOptions {
  /** Its name in the metrics: a path with what varies in braces. */
  route: string;
  /** One per method; HEAD is answered as GET. */
  methods: Partial<Record<Method, Handle>>;
  /** For all other methods, instead of a 405. */
  otherwise?: Handle;
  /** Whether each call gets a row in the request log. */
  logged: boolean;
}

const exposed =
  'x-request-id, retry-after, x-should-retry, content-length, content-range, accept-ranges, etag';

/**
 * Makes an address of `/v1`: API key first, then method, then the handler; every failure becomes
 * OpenAI's error object (contract 1). A handler that streams must call `record.finish` itself.
 */
export function openAiEndpoint(options: EndpointOptions): Endpoint {
  const allowed = allowedMethods(options);
  return async (request) => {
    const requestId = newRequestId();
    const headers: Record<string, string> = {
      'x-request-id': requestId,
      'access-control-allow-origin': '*',
      'access-control-expose-headers': exposed,
    };
    if (request.method === 'OPTIONS') return preflight(request, allowed, headers);
    const isHead = request.method === 'HEAD';
    const { status, body, headers: more } = await answer(request, requestId, options, allowed);
    return toResponse({ status, body, headers: Object.assign(headers, more) }, isHead);
  };
}

function allowedMethods({ methods }: EndpointOptions): string {
  return [...Object.keys(methods), ...(methods.GET ? ['HEAD'] : []), 'OPTIONS'].join(', ');
}

async function answer(
  request: Request,
  requestId: string,
  options: EndpointOptions,
  allowed: string,
): Promise<Reply> {
  const path = pathOf(request);
  const record = new RequestRecord(requestId, path, options);
  try {
    // In step with the other requests that came in this turn.
    await endOfTurn();
    if (isDraining()) {
      throw new AppError('server_shutting_down', 'The server is stopping. Try again in a moment.');
    }
    const key = await verifyKey(presentedKey(request.headers), record.startedAtMs);
    record.key = key;
    const handle = handlerOf(request, path, options, allowed);
    const json = async () => {
      const body = await readJson(request, (await settings()).maxBodyBytes, record.bodyShare);
      if ('model' in body && typeof body.model === 'string') record.nameModel(body.model);
      return body;
    };
    const reply = await handle({ request, path, key, record, json });
    if (typeof reply.body === 'string') record.finish(reply.status, null);
    return reply;
  } catch (error) {
    const shown = toShown(error, requestId);
    record.fail(shown);
    return errorReply(shown, allowed);
  }
}

function handlerOf(
  request: Request,
  path: string,
  { methods, otherwise }: EndpointOptions,
  allowed: string,
): Handle {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const handle =
    (Object.hasOwn(methods, method) ? methods[method as Method] : undefined) ?? otherwise;
  if (handle) return handle;
  throw new AppError(
    'method_not_allowed',
    `${excerpt(request.method)} is not allowed on ${excerpt(path)}. Allowed: ${allowed}.`,
  );
}

/** The failure as the caller may see it; what is behind it goes to the log. */
export function toShown(error: unknown, requestId: string): AppError {
  // What speaks to the operator (`conflict`: the encryption key does not fit) is not for callers.
  if (isAppError(error) && error.code !== 'internal' && error.code !== 'conflict') return error;
  log().error({ requestId, err: error }, 'request failed');
  return new AppError('internal', 'The server failed. The request id is in its log.');
}

function errorReply(error: AppError, allowed: string): Reply {
  const headers = errorHeaders(error);
  if (error.code === 'method_not_allowed') headers.allow = allowed;
  return jsonReply(statusOf(error), toErrorBody(error), headers);
}

function preflight(request: Request, allowed: string, common: Record<string, string>): Response {
  const headers: Record<string, string> = { ...common, allow: allowed };
  if (request.headers.has('origin')) {
    headers['access-control-allow-methods'] = allowed;
    headers['access-control-allow-headers'] =
      request.headers.get('access-control-request-headers') ?? 'authorization, content-type';
    headers['access-control-max-age'] = '7200';
    headers.vary = 'Access-Control-Request-Headers';
  }
  return toResponse({ status: 204, headers, body: null }, false);
}
