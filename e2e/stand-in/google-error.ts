const statusWords: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

const messages: Record<number, string> = {
  400: 'Request contains an invalid argument.',
  401: 'Request had invalid authentication credentials.',
  403: 'The caller does not have permission',
  404: 'Requested entity was not found.',
  429: 'Resource has been exhausted (e.g. check quota).',
  500: 'Internal error encountered.',
  502: 'The service is currently unavailable.',
  503: 'The service is currently unavailable.',
  504: 'Deadline expired before operation could complete.',
};

/** The error object of the widget host (upstream-protocol 17.1). */
export interface GoogleError {
  error: {
    code: number;
    message: string;
    status: string;
    details?: { '@type': string; reason: string; domain: string }[];
  };
}

/** An error object; `reason` goes where clients are to look for it, `details[].reason`. */
export function googleError(
  code: number,
  message: string | null = null,
  reason: string | null = null,
): GoogleError {
  const error = {
    code,
    message: message ?? messages[code] ?? 'Unknown error.',
    status: statusWords[code] ?? 'UNKNOWN',
  };
  if (reason === null) return { error };
  const domain = 'discoveryengine.googleapis.com';
  const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain }];
  return { error: { ...error, details } };
}
