import { z } from 'zod';
import { AppError, excerpt } from '@/platform/errors';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

const names: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'a boolean',
  array: 'an array',
  object: 'an object',
  null: 'null',
};

/**
 * An array schema whose first wrong item ends the check: with Zod's own `array`, millions of wrong
 * items in one body would be millions of issues in memory.
 */
export function listOf<T extends z.ZodType>(
  item: T,
  bounds: { min?: number; max?: number } = {},
): z.ZodType<z.output<T>[]> {
  const { min = 0, max = Number.POSITIVE_INFINITY } = bounds;
  return z
    .array(z.unknown())
    .min(min)
    .max(max)
    .transform((values, context) => {
      const items: z.output<T>[] = [];
      for (let index = 0; index < values.length; index += 1) {
        const value = values[index];
        const result = item.safeParse(value);
        if (!result.success) {
          for (const issue of result.error.issues) {
            const path = [index, ...issue.path];
            context.issues.push({ ...issue, input: value, path } as z.core.$ZodRawIssue);
          }
          return z.NEVER;
        }
        items.push(result.data);
      }
      return items;
    });
}

/**
 * The caller's error for a body that a schema refused: its most telling fault, with `param` as the
 * path (`messages[1].content[0].text`) and `detail` one of `missing_required_parameter`,
 * `invalid_type`, `invalid_value`. `body` is what was parsed; its faulty value is named.
 */
export function toInvalidRequest(error: z.ZodError, body: unknown): AppError {
  const [first] = error.issues;
  if (first === undefined) return new AppError('invalid_request', 'The request is invalid.');
  const fault = mostTelling(first, []);
  const value = valueAt(body, fault.path);
  const param = formatPath(fault.path);
  const { message, detail } = describe(fault, value, param);
  return new AppError('invalid_request', message.toWellFormed(), {
    param: param === '' ? undefined : param,
    detail,
  });
}

/**
 * `value` by `schema`.
 * @throws AppError `invalid_request` as `toInvalidRequest`
 */
export function parseBy<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw toInvalidRequest(result.error, value);
}

/** The error for a parameter that is required and not there. */
export function missingParameter(param: string, message?: string): AppError {
  return new AppError('invalid_request', message ?? `Missing required parameter: '${param}'.`, {
    param,
    detail: 'missing_required_parameter',
  });
}

interface Fault {
  issue: Issue;
  path: Path;
  /** What would have been right, where several branches failed at the same place. */
  expected: string[];
}

/** Of the branches of a union, the one that got furthest into the value knows best. */
function mostTelling(issue: Issue, parent: Path): Fault {
  const path = [...parent, ...issue.path];
  if (issue.code === 'invalid_union') {
    const branches = issue.errors.flatMap(([first]) =>
      first === undefined ? [] : [mostTelling(first, path)],
    );
    const depth = Math.max(...branches.map((branch) => branch.path.length));
    const deepest = branches.filter((branch) => branch.path.length === depth);
    // A branch that found more than the wrong type fits the value.
    const best = deepest.find((branch) => branch.issue.code !== 'invalid_type') ?? deepest[0];
    if (best !== undefined) {
      return { ...best, expected: deepest.flatMap((branch) => branch.expected) };
    }
  }
  const expected =
    issue.code === 'invalid_type' ? [names[issue.expected] ?? String(issue.expected)] : [];
  return { issue, path, expected };
}

function describe(fault: Fault, value: unknown, param: string) {
  const { issue } = fault;
  if (issue.code === 'custom') {
    return { message: issue.message, detail: String(issue.params?.detail ?? 'invalid_value') };
  }
  if (value === undefined) {
    const message = `Missing required parameter: '${param}'.`;
    return { message, detail: 'missing_required_parameter' };
  }
  if (issue.code === 'invalid_type') {
    const expected = fault.expected.join(' or ');
    const message = `Invalid type for '${param}': expected ${expected}, got ${show(value)}.`;
    return { message, detail: 'invalid_type' };
  }
  const message = `Invalid value for '${param}': ${show(value)}.${hint(issue)}`;
  return { message, detail: 'invalid_value' };
}

function hint(issue: Issue): string {
  if (issue.code === 'too_small' || issue.code === 'too_big') {
    const bound =
      issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
    return issue.origin === 'array' ? ` It must have ${bound} item(s).` : ` It must be ${bound}.`;
  }
  const allowed = allowedValues(issue);
  return allowed.length === 0 ? '' : ` Supported values are: ${allowed.join(', ')}.`;
}

function allowedValues(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map((value) => `'${String(value)}'`);
  if (issue.code !== 'invalid_union' || !('options' in issue)) return [];
  return issue.options?.map((value) => `'${String(value)}'`) ?? [];
}

/** A value for a message: short, and never walked into (it may be nested without end). */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(excerpt(value));
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

function valueAt(body: unknown, path: Path): unknown {
  let value = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function formatPath(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}
