import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { listOf, show, toInvalidRequest } from '@/openai/validation';

function refuse(schema: z.ZodType, body: unknown) {
  const result = schema.safeParse(body);
  if (result.success) throw new Error('The body was accepted.');
  const { message, param, detail } = toInvalidRequest(result.error, body);
  return { message, param, detail };
}

describe('toInvalidRequest', () => {
  test('a missing parameter', () => {
    expect(refuse(z.object({ a: z.object({ b: z.string() }) }), { a: {} })).toEqual({
      message: "Missing required parameter: 'a.b'.",
      param: 'a.b',
      detail: 'missing_required_parameter',
    });
  });

  test('null where nothing is known of null is a wrong type', () => {
    expect(refuse(z.object({ a: z.string() }), { a: null })).toEqual({
      message: "Invalid type for 'a': expected a string, got null.",
      param: 'a',
      detail: 'invalid_type',
    });
  });

  test('a wrong word, with the right ones', () => {
    expect(refuse(z.object({ a: z.enum(['x', 'y']) }), { a: 'z' })).toEqual({
      message: "Invalid value for 'a': \"z\". Supported values are: 'x', 'y'.",
      param: 'a',
      detail: 'invalid_value',
    });
  });

  test('of a union the branch that got furthest', () => {
    const item = z.union([z.string(), z.array(z.object({ text: z.string() }))]);
    expect(refuse(z.object({ a: item }), { a: [{ text: 'b' }, { text: 5 }] })).toMatchObject({
      param: 'a[1].text',
      detail: 'invalid_type',
    });
    expect(refuse(z.object({ a: item }), { a: 5 }).message).toBe(
      "Invalid type for 'a': expected a string or an array, got 5.",
    );
    expect(refuse(z.object({ a: item }), {}).detail).toBe('missing_required_parameter');
  });

  test('of a union within a union too', () => {
    const inner = z.union([z.number(), z.object({ b: z.literal(1) })]);
    const schema = z.object({ a: z.union([z.string(), z.array(inner)]) });
    expect(refuse(schema, { a: [{ b: 2 }] }).param).toBe('a[0].b');
  });

  test('an inherited value is no value', () => {
    const body = Object.create({ a: 5 });
    expect(refuse(z.object({ a: z.string() }), { ...body }).detail).toBe(
      'missing_required_parameter',
    );
  });

  test("a schema's own words are passed on", () => {
    const schema = z.object({ a: z.number().refine((value) => value > 1, 'Too little.') });
    expect(refuse(schema, { a: 1 })).toEqual({
      message: 'Too little.',
      param: 'a',
      detail: 'invalid_value',
    });
  });

  test('half a character of the caller does not come back', () => {
    const { message } = refuse(z.object({ a: z.number() }), { a: `${'x'.repeat(99)}\u{1f600}` });
    expect(message.isWellFormed()).toBe(true);
  });
});

describe('listOf', () => {
  const numbers = z.object({ a: listOf(z.number(), { min: 1, max: 3 }) });

  test('gives the parsed items', () => {
    expect(numbers.parse({ a: [1, 2] })).toEqual({ a: [1, 2] });
    expect(z.object({ a: listOf(z.string().nullish()) }).parse({ a: [null] })).toEqual({
      a: [null],
    });
  });

  test('ends with the first wrong item', () => {
    const result = numbers.safeParse({ a: [1, 'x', 'y'] });
    expect(result.error?.issues.map((issue) => issue.path)).toEqual([['a', 1]]);
  });

  test('keeps the bounds', () => {
    expect(refuse(numbers, { a: [] }).message).toContain('at least 1');
    expect(refuse(numbers, { a: [1, 2, 3, 4] }).message).toContain('at most 3');
    expect(refuse(numbers, { a: {} }).detail).toBe('invalid_type');
  });
});

test.each([
  ['a"b', '"a\\"b"'],
  ['x'.repeat(200), `"${'x'.repeat(100)}…"`],
  [5, '5'],
  [null, 'null'],
  [undefined, 'undefined'],
  [[], 'an empty array'],
  [[1], 'an array'],
  [{ a: 1 }, 'an object'],
])('show %j', (value, expected) => {
  expect(show(value)).toBe(expected);
});
